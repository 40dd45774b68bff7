//! Orders of operators to the watchers of repositories, and what removals took away.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;
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
    /// Whether it only says what would be taken out.
    pub dry_run: bool,
    /// The principal who asks for it.
    pub principal: String,
}

/// Orders to watchers.
#[async_trait]
pub trait OrderStore: Send + Sync + std::fmt::Debug {
    /// Records an order, `pending`.
    ///
    /// - `an_order_is_kept_as_it_was_asked_for`: numbers go up; every field is read back; watchers and waiting requests
    ///   are woken.
    async fn add_order(&self, new: &NewOrder, at: Timestamp) -> Result<PackageOrder>;

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

    /// Compare-and-set of an order's state, packages, message and end, by the row version before `after`'s. Whether it
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
