//! Orders to watchers, and what removals took away.

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{
    JobId, OrderId, OrderKind, OrderState, PackageName, PackageOrder, RepositoryName, Version,
};
use pybit_core::storage::{Changes, NewOrder, OrderStore, RecordedOrder};

use super::call::json;
use super::{Call, Cells, Dialect, SqlStore, commit, statements as sql, turns};

#[async_trait]
impl<D: Dialect> OrderStore for SqlStore<D> {
    async fn add_order(&self, new: &NewOrder, at: Timestamp) -> Result<RecordedOrder> {
        let added = self.again(|| record(self, new, at)).await?;
        self.news.made(Changes::count_order);
        Ok(added)
    }

    async fn order(&self, id: OrderId) -> Result<Option<PackageOrder>> {
        self.again(|| self.first(Call::<D>::new(&sql::ORDER_BY_ID).int(id.0), order)).await
    }

    async fn open_orders(
        &self,
        repository: &RepositoryName,
        limit: u32,
    ) -> Result<Vec<PackageOrder>> {
        self.again(|| {
            let call = Call::<D>::new(&sql::ORDERS_OPEN).text(repository.as_str()).int(limit);
            self.all(call, order)
        })
        .await
    }

    async fn removals(
        &self,
        package: &PackageName,
        repository: Option<&RepositoryName>,
        limit: u32,
    ) -> Result<Vec<PackageOrder>> {
        self.again(|| {
            let call = Call::<D>::new(&sql::REMOVALS)
                .text(package.as_str())
                .maybe_text(repository.map(RepositoryName::as_str))
                .int(limit);
            self.all(call, order)
        })
        .await
    }

    async fn advance_order(&self, after: &PackageOrder) -> Result<bool> {
        let moved = self.again(|| advance(self, after)).await?;
        if moved {
            self.news.made(Changes::count_order);
        }
        Ok(moved)
    }

    async fn withdrawn(&self, ids: &[JobId]) -> Result<Vec<JobId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.again(|| async {
            let call = Call::<D>::new(&sql::WITHDRAWN).text(&json(&ids)?);
            self.all(call, |c| Ok(JobId(c.int("job")?))).await
        })
        .await
    }
}

/// Requests with one key are decided on one after the other.
async fn record<D: Dialect>(
    store: &SqlStore<D>,
    new: &NewOrder,
    at: Timestamp,
) -> Result<RecordedOrder> {
    let mut transaction = store.begin().await?;
    if let Some(key) = &new.idempotency_key {
        let turn = format!("order {} {key}", new.principal);
        turns::take::<D>(&mut transaction, [turn]).await?;
        let call = Call::<D>::new(&sql::ORDER_BY_KEY).text(&new.principal).text(key);
        if let Some(first) = call.first(&mut transaction, order).await? {
            return new.repeats(first);
        }
    }
    let order = add::<D>(new, at).one(&mut transaction, order).await?;
    commit(transaction).await?;
    Ok(RecordedOrder { order, repeated: false })
}

fn add<D: Dialect>(new: &NewOrder, at: Timestamp) -> Call<D> {
    let (repository, version) = (&new.repository, new.version.as_ref());
    Call::new(&sql::ORDER_ADD)
        .text(repository.name.as_str())
        .text(repository.dist.as_str())
        .text(repository.suite.as_str())
        .text(repository.format.as_str())
        .text(new.kind.as_str())
        .maybe_text(new.package.as_ref().map(PackageName::as_str))
        .maybe_text(version.map(|(version, _)| Version::as_str(version)))
        .blob(version.map(|(_, key)| key.as_slice()))
        .text(&new.reason)
        .flag(new.dry_run)
        .text(&new.principal)
        .at(at)
        .maybe_text(new.idempotency_key.as_deref())
}

/// The change, and with the end of a removal what it took away.
async fn advance<D: Dialect>(store: &SqlStore<D>, after: &PackageOrder) -> Result<bool> {
    let mut transaction = store.begin().await?;
    let changed = Call::<D>::new(&sql::ORDER_ADVANCE)
        .int(after.id.0)
        .int(after.row_version)
        .text(after.state.as_str())
        .text(&json(&after.packages)?)
        .text(&json(&after.keys)?)
        .maybe_text(after.message.as_deref())
        .maybe_at(after.ended_at)
        .run(&mut transaction)
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    if after.state == OrderState::Done && after.removes() {
        Call::<D>::new(&sql::WITHDRAW).int(after.id.0).run(&mut transaction).await?;
    }
    commit(transaction).await?;
    Ok(true)
}

fn order<D: Dialect>(c: &Cells<'_, D>) -> Result<PackageOrder> {
    Ok(PackageOrder {
        id: OrderId(c.int("id")?),
        row_version: c.int("row_version")?,
        repository: c.parsed("repository")?,
        dist: c.parsed("dist")?,
        suite: c.parsed("suite")?,
        format: c.parsed("format")?,
        kind: c.word("kind", &OrderKind::ALL, OrderKind::as_str)?,
        package: c.maybe_parsed("package")?,
        version: c.maybe_parsed("version")?,
        reason: c.text("reason")?,
        dry_run: c.flag("dry_run")?,
        principal: c.text("principal")?,
        requested_at: c.at("requested_at")?,
        state: c.word("state", &OrderState::ALL, OrderState::as_str)?,
        packages: c.json("packages")?,
        keys: c.json("keys")?,
        message: c.maybe_text("message")?,
        ended_at: c.maybe_at("ended_at")?,
    })
}
