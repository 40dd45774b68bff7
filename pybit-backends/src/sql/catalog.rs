//! What the farm serves.

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::model::{BlockRule, BlockSubject, Catalogue, Repository, RuleId, WeightedTarget};
use pybit_core::storage::CatalogStore;

use super::{Call, Cells, Dialect, SqlStore, commit, jobs, statements as sql};

#[async_trait]
impl<D: Dialect> CatalogStore for SqlStore<D> {
    async fn catalogue(&self) -> Result<Catalogue> {
        self.catalogue.get(|| self.again(|| read(self))).await
    }

    async fn put_target(&self, target: &WeightedTarget) -> Result<()> {
        let done = self
            .again(|| async {
                let mut transaction = self.begin().await?;
                Call::<D>::new(&sql::TARGET_PUT)
                    .text(target.target.dist.as_str())
                    .text(target.target.suite.as_str())
                    .text(target.target.arch.as_str())
                    .text(target.target.format.as_str())
                    .text(target.target.env.as_str())
                    .int(target.weight)
                    .run_one(&mut transaction)
                    .await?;
                commit(transaction).await
            })
            .await;
        // Whatever became of it: it may have taken effect.
        self.catalogue.forget();
        done
    }

    async fn put_repository(&self, repository: &Repository) -> Result<()> {
        let done = self
            .again(|| async {
                let mut transaction = self.begin().await?;
                Call::<D>::new(&sql::REPOSITORY_PUT)
                    .text(repository.name.as_str())
                    .text(repository.dist.as_str())
                    .text(repository.suite.as_str())
                    .text(repository.format.as_str())
                    .maybe_text(repository.url.as_deref())
                    .maybe_text(repository.public_key.as_deref())
                    .run_one(&mut transaction)
                    .await?;
                commit(transaction).await
            })
            .await;
        // Whatever became of it: it may have taken effect.
        self.catalogue.forget();
        done
    }

    async fn add_rule(&self, new: &BlockRule) -> Result<BlockRule> {
        let done = self
            .again(|| async {
                new.check()?;
                let mut transaction = self.begin().await?;
                let added = Call::<D>::new(&sql::RULE_ADD)
                    .text(new.subject.as_str())
                    .text(&new.pattern)
                    .text(&new.reason)
                    .one(&mut transaction, rule)
                    .await?;
                commit(transaction).await?;
                Ok(added)
            })
            .await;
        // Whatever became of it: it may have taken effect.
        self.catalogue.forget();
        done
    }

    async fn remove_rule(&self, id: RuleId) -> Result<bool> {
        let done = self
            .again(|| async {
                let mut transaction = self.begin().await?;
                let removed =
                    Call::<D>::new(&sql::RULE_REMOVE).int(id.0).run(&mut transaction).await?;
                commit(transaction).await?;
                Ok(removed > 0)
            })
            .await;
        // Whatever became of it: it may have taken effect.
        self.catalogue.forget();
        done
    }
}

async fn read<D: Dialect>(store: &SqlStore<D>) -> Result<Catalogue> {
    let mut snapshot = store.snapshot().await?;
    let targets = Call::<D>::new(&sql::TARGETS)
        .all(&mut snapshot, |c| {
            Ok(WeightedTarget { target: jobs::target(c)?, weight: c.int("weight")? })
        })
        .await?;
    let repositories = Call::<D>::new(&sql::REPOSITORIES).all(&mut snapshot, repository).await?;
    let rules = Call::<D>::new(&sql::RULES).all(&mut snapshot, rule).await?;
    commit(snapshot).await?;
    Ok(Catalogue { targets, repositories, rules })
}

fn repository<D: Dialect>(c: &Cells<'_, D>) -> Result<Repository> {
    Ok(Repository {
        name: c.parsed("name")?,
        dist: c.parsed("dist")?,
        suite: c.parsed("suite")?,
        format: c.parsed("format")?,
        url: c.maybe_text("url")?,
        public_key: c.maybe_text("public_key")?,
    })
}

fn rule<D: Dialect>(c: &Cells<'_, D>) -> Result<BlockRule> {
    let subjects = [BlockSubject::Package, BlockSubject::Source];
    Ok(BlockRule {
        id: RuleId(c.int("id")?),
        subject: c.word("subject", &subjects, BlockSubject::as_str)?,
        pattern: c.text("pattern")?,
        reason: c.text("reason")?,
    })
}
