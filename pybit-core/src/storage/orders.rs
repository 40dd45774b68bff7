//! Orders of operators to the watchers of repositories, and what removals took away.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    JobId, OrderId, OrderKind, PackageName, PackageOrder, Repository, RepositoryName, Version,
};

/// An order to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// The repository; its distribution, suite and format are kept with the order.
    pub repository: Repository,
    /// The task.
    pub kind: OrderKind,
    /// The source package.
    pub package: Option<PackageName>,
    /// The version to take out with its sort key; absent: every version.
    pub version: Option<(Version, Vec<u8>)>,
    /// Why.
    pub reason: String,
    /// Whether it only says what would be done.
    pub dry_run: bool,
    /// The principal who asks for it.
    pub principal: String,
    /// The request's idempotency key.
    pub idempotency_key: Option<String>,
}

impl NewOrder {
    /// Whether an order on record is what this one asks for.
    fn asks_for(&self, order: &PackageOrder) -> bool {
        self.repository.name == order.repository
            && self.kind == order.kind
            && self.package == order.package
            && self.version.as_ref().map(|(version, _)| version) == order.version.as_ref()
            && self.reason == order.reason
            && self.dry_run == order.dry_run
    }

    /// The answer to a request whose idempotency key an order on record has.
    ///
    /// - `Conflict`, code `idempotency_key_reused`: that order is another one.
    pub fn repeats(&self, order: PackageOrder) -> Result<RecordedOrder> {
        if self.asks_for(&order) {
            return Ok(RecordedOrder { order, repeated: true });
        }
        let message = format!(
            "the idempotency key belongs to order {}, which asked for something else; use another key",
            order.id
        );
        Err(Error::conflict(message).with_code("idempotency_key_reused"))
    }
}

/// The record of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedOrder {
    /// The order.
    pub order: PackageOrder,
    /// Whether an earlier request with the same idempotency key had already recorded it.
    pub repeated: bool,
}

/// Orders to watchers.
#[async_trait]
pub trait OrderStore: Send + Sync + std::fmt::Debug {
    /// Records an order, `pending`.
    ///
    /// - `an_order_is_kept_as_it_was_asked_for`: numbers go up; every field is read back; watchers and waiting requests
    ///   are woken.
    /// - `an_order_with_the_same_key_is_recorded_once`: the same principal and idempotency key with an equal request changes nothing
    ///   and returns the first order as it is now, also for requests at the same time; with another request it fails,
    ///   `Conflict`, code `idempotency_key_reused`.
    async fn add_order(&self, new: &NewOrder, at: Timestamp) -> Result<RecordedOrder>;

    /// An order by number.
    async fn order(&self, id: OrderId) -> Result<Option<PackageOrder>>;

    /// The orders of a repository that have not ended, oldest first.
    ///
    /// - `open_orders_are_those_that_have_not_ended`: of this repository alone, and at most `limit`.
    async fn open_orders(
        &self,
        repository: &RepositoryName,
        limit: u32,
    ) -> Result<Vec<PackageOrder>>;

    /// The orders about a source package to take it out, newest first, dry runs left out; of one repository where given.
    ///
    /// - `removals_of_a_package_come_newest_first`: whatever their state.
    async fn removals(
        &self,
        package: &PackageName,
        repository: Option<&RepositoryName>,
        limit: u32,
    ) -> Result<Vec<PackageOrder>>;

    /// Compare-and-set of an order's state, packages, keys, message and end, by the row version before `after`'s. Whether it
    /// took effect; `false` where the order has changed meanwhile or is not there.
    ///
    /// - `an_order_changes_by_compare_and_set`: the second of two changes of the same row changes nothing.
    /// - `removed_versions_do_not_count`: where a removal becomes `done`, the `Done` binary jobs of its package, version,
    ///   distribution, suite and format no longer count as versions that the suite has: an older or the same version may
    ///   be submitted, `newest` and `packages` pass over them. Versions compare by sort key. A job that is done later
    ///   counts.
    /// - `a_removal_that_is_not_done_takes_nothing_away`: nor does a dry run, or one of another version or suite.
    async fn advance_order(&self, after: &PackageOrder) -> Result<bool>;

    /// Those of these jobs that a removal took away again, by number.
    ///
    /// - `withdrawn_jobs_are_those_that_a_removal_took_away`: of those that are asked about alone.
    async fn withdrawn(&self, ids: &[JobId]) -> Result<Vec<JobId>>;
}
