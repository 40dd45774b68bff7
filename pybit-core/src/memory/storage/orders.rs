//! Orders to watchers, and what removals took away.

use async_trait::async_trait;

use super::{JobRow, MemoryStorage, OrderRow, State, first, next_number};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{
    JobId, JobKind, JobStatus, OrderId, OrderState, PackageName, PackageOrder, RepositoryName,
};
use crate::storage::{Changes, NewOrder, OrderStore, RecordedOrder};

#[async_trait]
impl OrderStore for MemoryStorage {
    async fn add_order(&self, new: &NewOrder, at: Timestamp) -> Result<RecordedOrder> {
        let added = self.write(|state| state.add_order(new, at)).await?;
        self.changes.send_if_modified(Changes::count_order);
        Ok(added)
    }

    async fn order(&self, id: OrderId) -> Result<Option<PackageOrder>> {
        Ok(self.read().await?.orders.get(&id).map(|row| row.order.clone()))
    }

    async fn open_orders(
        &self,
        repository: &RepositoryName,
        limit: u32,
    ) -> Result<Vec<PackageOrder>> {
        let state = self.read().await?;
        let open = |o: &&PackageOrder| o.repository == *repository && !o.state.is_final();
        Ok(first(state.orders.values().map(|row| &row.order).filter(open).cloned(), limit))
    }

    async fn removals(
        &self,
        package: &PackageName,
        repository: Option<&RepositoryName>,
        limit: u32,
    ) -> Result<Vec<PackageOrder>> {
        let state = self.read().await?;
        let about = |o: &&PackageOrder| {
            o.removes()
                && o.package.as_ref() == Some(package)
                && repository.is_none_or(|r| o.repository == *r)
        };
        let newest_first = state.orders.values().rev().map(|row| &row.order);
        Ok(first(newest_first.filter(about).cloned(), limit))
    }

    async fn advance_order(&self, after: &PackageOrder) -> Result<bool> {
        let moved = self.write(|state| Ok(state.advance_order(after))).await?;
        if moved {
            self.changes.send_if_modified(Changes::count_order);
        }
        Ok(moved)
    }

    async fn withdrawn(&self, ids: &[JobId]) -> Result<Vec<JobId>> {
        let state = self.read().await?;
        Ok(state.withdrawn.keys().filter(|id| ids.contains(id)).copied().collect())
    }
}

impl State {
    fn add_order(&mut self, new: &NewOrder, at: Timestamp) -> Result<RecordedOrder> {
        if let Some(first) = self.order_with_key(new) {
            return new.repeats(first);
        }
        let NewOrder {
            repository,
            kind,
            package,
            version,
            reason,
            dry_run,
            principal,
            idempotency_key,
        } = new.clone();
        let (version, version_key) = version.unzip();
        let order = PackageOrder {
            id: OrderId(next_number(self.orders.len())),
            row_version: 1,
            repository: repository.name,
            dist: repository.dist,
            suite: repository.suite,
            format: repository.format,
            kind,
            package,
            version,
            reason,
            dry_run,
            principal,
            requested_at: at,
            state: OrderState::Pending,
            packages: Vec::new(),
            keys: Vec::new(),
            message: None,
            ended_at: None,
        };
        let row = OrderRow { order: order.clone(), version_key, idempotency_key };
        self.orders.insert(order.id, row);
        Ok(RecordedOrder { order, repeated: false })
    }

    fn order_with_key(&self, new: &NewOrder) -> Option<PackageOrder> {
        let key = new.idempotency_key.as_ref()?;
        let same = |row: &&OrderRow| {
            row.order.principal == new.principal && row.idempotency_key.as_ref() == Some(key)
        };
        self.orders.values().find(same).map(|row| row.order.clone())
    }

    fn advance_order(&mut self, after: &PackageOrder) -> bool {
        let Some(row) = self.orders.get(&after.id) else { return false };
        if row.order.row_version + 1 != after.row_version {
            return false;
        }
        let mut row = row.clone();
        row.order.row_version = after.row_version;
        row.order.state = after.state;
        row.order.packages.clone_from(&after.packages);
        row.order.keys.clone_from(&after.keys);
        row.order.message.clone_from(&after.message);
        row.order.ended_at = after.ended_at;
        if row.order.state == OrderState::Done && row.order.removes() {
            self.withdraw(&row);
        }
        self.orders.insert(after.id, row);
        true
    }

    /// Marks the published jobs that the removal took away.
    fn withdraw(&mut self, OrderRow { order, version_key, .. }: &OrderRow) {
        let taken = |row: &&JobRow| {
            let job = &row.job;
            job.kind == JobKind::Binary
                && job.status == JobStatus::Done
                && Some(&job.package) == order.package.as_ref()
                && (version_key.is_none() || row.version_key == *version_key)
                && job.target.dist == order.dist
                && job.target.suite == order.suite
                && job.target.format == order.format
                && !self.withdrawn.contains_key(&job.id)
        };
        let jobs: Vec<_> = self.jobs.values().filter(taken).map(|row| row.job.id).collect();
        for job in jobs {
            self.withdrawn.insert(job, order.id);
        }
    }
}
