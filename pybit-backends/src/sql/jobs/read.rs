//! Questions about jobs; none of them changes anything.

use std::collections::BTreeMap;

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{
    Arch, Attempt, ClientName, Dist, Event, FormatName, Job, JobFilter, JobId, JobStatus,
    PackageName, Page, Route, StatusCounts, Submission, SubmissionId, Suite,
};
use pybit_core::storage::Lease;

use super::rows;
use crate::sql::{Call, Cells, Dialect, SqlStore, Statement, statements as sql};

pub(super) async fn submission<D: Dialect>(
    store: &SqlStore<D>,
    id: SubmissionId,
) -> Result<Option<Submission>> {
    store.first(Call::<D>::new(&sql::SUBMISSION_BY_ID).int(id.0), rows::submission).await
}

pub(super) async fn job<D: Dialect>(store: &SqlStore<D>, id: JobId) -> Result<Option<Job>> {
    store.first(Call::<D>::new(&sql::JOB_BY_ID).int(id.0), rows::job).await
}

pub(super) async fn jobs<D: Dialect>(
    store: &SqlStore<D>,
    filter: &JobFilter,
    page: &Page,
) -> Result<Vec<Job>> {
    store
        .all(
            Call::<D>::new(lead(filter))
                .maybe_int(filter.submission.map(|s| s.0))
                .maybe_text(filter.status.map(JobStatus::as_str))
                .maybe_text(filter.package.as_ref().map(PackageName::as_str))
                .maybe_text(filter.dist.as_ref().map(Dist::as_str))
                .maybe_text(filter.suite.as_ref().map(Suite::as_str))
                .maybe_text(filter.arch.as_ref().map(Arch::as_str))
                .maybe_text(filter.client.as_ref().map(ClientName::as_str))
                .int(page.before.map_or(i64::MAX, |id| id.0))
                .int(page.limit),
            rows::job,
        )
        .await
}

/// The variant that walks the index of the most selective filter.
fn lead(filter: &JobFilter) -> &'static Statement {
    if filter.submission.is_some() {
        &sql::JOBS_OF_SUBMISSION
    } else if filter.package.is_some() {
        &sql::JOBS_OF_PACKAGE
    } else if filter.client.is_some() {
        &sql::JOBS_OF_CLIENT
    } else if filter.status.is_some() {
        &sql::JOBS_IN_STATUS
    } else if filter.suite.is_some() {
        &sql::JOBS_IN_SUITE
    } else if filter.arch.is_some() {
        &sql::JOBS_OF_ARCH
    } else {
        &sql::JOBS
    }
}

pub(super) async fn counts<D: Dialect>(store: &SqlStore<D>) -> Result<StatusCounts> {
    let count = |c: &Cells<'_, D>| Ok((c.parsed::<JobStatus>("status")?, c.int::<u64>("jobs")?));
    let counts = store.all(Call::new(&sql::COUNTS), count).await?;
    Ok(StatusCounts(BTreeMap::from_iter(counts)))
}

pub(super) async fn events<D: Dialect>(store: &SqlStore<D>, id: JobId) -> Result<Vec<Event>> {
    store.all(Call::<D>::new(&sql::EVENTS).int(id.0), rows::event).await
}

pub(super) async fn attempts<D: Dialect>(store: &SqlStore<D>, id: JobId) -> Result<Vec<Attempt>> {
    store.all(Call::<D>::new(&sql::ATTEMPTS).int(id.0), rows::attempt).await
}

pub(super) async fn leases<D: Dialect>(store: &SqlStore<D>) -> Result<Vec<Lease>> {
    store
        .all(Call::<D>::new(&sql::LEASES), |c| {
            Ok(Lease { job: JobId(c.int("id")?), epoch: c.int("lease_epoch")? })
        })
        .await
}

pub(super) async fn blocked<D: Dialect>(
    store: &SqlStore<D>,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>> {
    store.all(Call::new(&sql::JOBS_BLOCKED).int(behind(after)).int(limit), rows::job).await
}

/// Numbers begin at 1.
fn behind(after: Option<JobId>) -> i64 {
    after.map_or(0, |job| job.0)
}

pub(super) async fn unpublishable<D: Dialect>(store: &SqlStore<D>, limit: u32) -> Result<Vec<Job>> {
    store.all(Call::<D>::new(&sql::JOBS_UNPUBLISHABLE).int(limit), rows::job).await
}

pub(super) async fn uploaded<D: Dialect>(
    store: &SqlStore<D>,
    dist: &Dist,
    suite: &Suite,
    format: &FormatName,
    after: Option<JobId>,
    limit: u32,
) -> Result<Vec<Job>> {
    store
        .all(
            Call::<D>::new(&sql::JOBS_UPLOADED)
                .text(dist.as_str())
                .text(suite.as_str())
                .text(format.as_str())
                .int(behind(after))
                .int(limit),
            rows::job,
        )
        .await
}

pub(super) async fn due_routes<D: Dialect>(
    store: &SqlStore<D>,
    at: Timestamp,
) -> Result<Vec<Route>> {
    store.all(Call::<D>::new(&sql::DUE_ROUTES).at(at), rows::route).await
}

pub(super) async fn ahead_of<D: Dialect>(store: &SqlStore<D>, job: &Job) -> Result<u64> {
    let target = &job.target;
    store
        .one(
            Call::<D>::new(&sql::AHEAD_OF)
                .text(target.dist.as_str())
                .text(target.suite.as_str())
                .text(target.arch.as_str())
                .text(target.format.as_str())
                .text(target.env.as_str())
                .int(job.priority)
                .int(job.weight)
                .int(job.id.0),
            |c| c.int("ahead"),
        )
        .await
}
