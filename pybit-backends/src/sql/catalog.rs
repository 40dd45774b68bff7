//! What the farm serves.

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::model::{
    BlockRule, BlockSubject, Catalogue, CatalogueChange, Health, HookRule, Repository, RuleId,
    SuiteMove, Target, WeightedTarget,
};
use pybit_core::storage::CatalogStore;
use sqlx::Transaction;

use super::{Call, Cells, Dialect, SqlStore, commit, jobs, moves, statements as sql, turns};

#[async_trait]
impl<D: Dialect> CatalogStore for SqlStore<D> {
    async fn catalogue(&self) -> Result<Catalogue> {
        self.catalogue.get(|| self.again(|| read_all(self))).await
    }

    async fn put_target(&self, target: &WeightedTarget) -> Result<()> {
        let done = self
            .again(|| async {
                let mut transaction = self.begin().await?;
                put_target::<D>(&mut transaction, &target.target, target.weight).await?;
                commit(transaction).await
            })
            .await;
        // A write that failed may have taken effect all the same.
        self.catalogue.forget();
        done
    }

    async fn put_repository(&self, repository: &Repository) -> Result<()> {
        let done = self
            .again(|| async {
                let mut transaction = self.begin().await?;
                put_repository::<D>(&mut transaction, repository).await?;
                commit(transaction).await
            })
            .await;
        // A write that failed may have taken effect all the same.
        self.catalogue.forget();
        done
    }

    async fn add_rule(&self, new: &BlockRule) -> Result<BlockRule> {
        let done = self
            .again(|| async {
                new.check()?;
                let mut transaction = self.begin().await?;
                let added = add_rule::<D>(&mut transaction, new).await?;
                commit(transaction).await?;
                Ok(added)
            })
            .await;
        // A write that failed may have taken effect all the same.
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
        // A write that failed may have taken effect all the same.
        self.catalogue.forget();
        done
    }

    async fn put_move(&self, moved: &SuiteMove) -> Result<()> {
        moved.check()?;
        let done = self
            .again(|| async {
                let mut transaction = self.begin().await?;
                turns::take::<D>(&mut transaction, [TURN.to_owned()]).await?;
                moves::put::<D>(&mut transaction, moved).await?;
                commit(transaction).await
            })
            .await;
        // A write that failed may have taken effect all the same.
        self.catalogue.forget();
        done
    }

    async fn replace_catalogue(
        &self,
        wanted: &Catalogue,
        dry_run: bool,
    ) -> Result<Vec<CatalogueChange>> {
        wanted.check()?;
        let done = self.again(|| replace(self, wanted, dry_run)).await;
        // A write that failed may have taken effect all the same.
        self.catalogue.forget();
        done
    }
}

/// Held by the one transaction that replaces the catalogue.
const TURN: &str = "catalogue";

async fn replace<D: Dialect>(
    store: &SqlStore<D>,
    wanted: &Catalogue,
    dry_run: bool,
) -> Result<Vec<CatalogueChange>> {
    let mut transaction = store.begin().await?;
    turns::take::<D>(&mut transaction, [TURN.to_owned()]).await?;
    let changes = read::<D>(&mut transaction).await?.changes_to(wanted);
    if changes.iter().any(|c| c.removes() || matches!(c, CatalogueChange::ChangeRepository { .. }))
    {
        let used = Call::<D>::new(&sql::TARGETS_USED)
            .all(&mut transaction, |c| Ok((jobs::target(c)?, c.int("jobs")?)))
            .await?;
        wanted.check_uses(&changes, &used)?;
    }
    if dry_run {
        return Ok(changes);
    }
    for change in &changes {
        take_step::<D>(&mut transaction, change).await?;
    }
    commit(transaction).await?;
    Ok(changes)
}

async fn take_step<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    change: &CatalogueChange,
) -> Result<()> {
    match change {
        CatalogueChange::AddTarget { target: WeightedTarget { target, weight } }
        | CatalogueChange::SetWeight { target, to: weight, .. } => {
            put_target::<D>(transaction, target, *weight).await
        }
        CatalogueChange::RemoveTarget { target } => {
            with_target(Call::<D>::new(&sql::TARGET_REMOVE), &target.target)
                .run_one(transaction)
                .await
        }
        CatalogueChange::AddRepository { repository }
        | CatalogueChange::ChangeRepository { to: repository, .. }
        | CatalogueChange::SetOverlay { to: repository } => {
            put_repository::<D>(transaction, repository).await
        }
        CatalogueChange::RemoveRepository { repository } => {
            let call = Call::<D>::new(&sql::REPOSITORY_REMOVE).text(repository.name.as_str());
            call.run_one(transaction).await
        }
        CatalogueChange::AddRule { rule } => add_rule::<D>(transaction, rule).await.map(drop),
        CatalogueChange::RemoveRule { rule } => {
            Call::<D>::new(&sql::RULE_REMOVE).int(rule.id.0).run(transaction).await.map(drop)
        }
        CatalogueChange::AddHookRule { rule } => {
            let call = Call::<D>::new(&sql::HOOK_RULE_ADD).text(&rule.hook);
            call.text(&super::call::json(&rule.rule)?).run_one(transaction).await
        }
        CatalogueChange::RemoveHookRule { rule } => {
            let there = Call::<D>::new(&sql::HOOK_RULES).all(transaction, hook_rule).await?;
            let Some((id, _)) = there.into_iter().find(|(_, r)| r == rule) else { return Ok(()) };
            Call::<D>::new(&sql::HOOK_RULE_REMOVE).int(id).run_one(transaction).await
        }
        CatalogueChange::AddMove { moved } => moves::add::<D>(transaction, moved).await,
        CatalogueChange::RemoveMove { moved } => moves::remove::<D>(transaction, moved).await,
    }
}

fn with_target<D: Dialect>(call: Call<D>, target: &Target) -> Call<D> {
    call.text(target.dist.as_str())
        .text(target.suite.as_str())
        .text(target.arch.as_str())
        .text(target.format.as_str())
        .text(target.env.as_str())
}

async fn put_target<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    target: &Target,
    weight: i32,
) -> Result<()> {
    with_target(Call::<D>::new(&sql::TARGET_PUT), target).int(weight).run_one(transaction).await
}

async fn put_repository<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    repository: &Repository,
) -> Result<()> {
    let health = repository.health.clone().unwrap_or_default();
    Call::<D>::new(&sql::REPOSITORY_PUT)
        .text(repository.name.as_str())
        .text(repository.dist.as_str())
        .text(repository.suite.as_str())
        .text(repository.format.as_str())
        .maybe_text(repository.url.as_deref())
        .maybe_text(repository.public_key.as_deref())
        .flag(repository.health.is_some())
        .maybe_at(health.key_expires_at)
        .maybe_at(health.dated_at)
        .maybe_at(health.valid_until)
        .maybe_text(health.trouble.as_deref())
        .flag(repository.overlays())
        .flag(repository.overlay.is_some())
        .run_one(transaction)
        .await
}

async fn add_rule<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    new: &BlockRule,
) -> Result<BlockRule> {
    Call::<D>::new(&sql::RULE_ADD)
        .text(new.subject.as_str())
        .text(&new.pattern)
        .text(&new.reason)
        .one(transaction, rule)
        .await
}

async fn read_all<D: Dialect>(store: &SqlStore<D>) -> Result<Catalogue> {
    let mut snapshot = store.snapshot().await?;
    let catalogue = read::<D>(&mut snapshot).await?;
    commit(snapshot).await?;
    Ok(catalogue)
}

async fn read<D: Dialect>(transaction: &mut Transaction<'static, D>) -> Result<Catalogue> {
    let targets = Call::<D>::new(&sql::TARGETS)
        .all(transaction, |c| {
            Ok(WeightedTarget { target: jobs::target(c)?, weight: c.int("weight")? })
        })
        .await?;
    let repositories = Call::<D>::new(&sql::REPOSITORIES).all(transaction, repository).await?;
    let rules = Call::<D>::new(&sql::RULES).all(transaction, rule).await?;
    let hook_rules = Call::<D>::new(&sql::HOOK_RULES).all(transaction, hook_rule).await?;
    let hook_rules = hook_rules.into_iter().map(|(_, rule)| rule).collect();
    let moves = moves::all::<D>(transaction).await?;
    let moves = Some(moves).filter(|moves| !moves.is_empty());
    Ok(Catalogue { targets, repositories, rules, hook_rules, moves })
}

fn hook_rule<D: Dialect>(c: &Cells<'_, D>) -> Result<(i64, HookRule)> {
    Ok((c.int("id")?, HookRule { hook: c.text("hook")?, rule: c.json("rule")? }))
}

fn repository<D: Dialect>(c: &Cells<'_, D>) -> Result<Repository> {
    Ok(Repository {
        name: c.parsed("name")?,
        dist: c.parsed("dist")?,
        suite: c.parsed("suite")?,
        format: c.parsed("format")?,
        url: c.maybe_text("url")?,
        public_key: c.maybe_text("public_key")?,
        health: if c.flag("told")? { Some(health(c)?) } else { None },
        overlay: c.flag("overlay")?.then_some(true),
    })
}

fn health<D: Dialect>(c: &Cells<'_, D>) -> Result<Health> {
    Ok(Health {
        key_expires_at: c.maybe_at("key_expires_at")?,
        dated_at: c.maybe_at("dated_at")?,
        valid_until: c.maybe_at("valid_until")?,
        trouble: c.maybe_text("trouble")?,
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
