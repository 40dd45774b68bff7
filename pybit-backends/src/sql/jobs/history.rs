//! What every status change leaves behind: an event, and where the job became claimable a hint.

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobId, JobStatus};
use pybit_core::storage::OutboxRow;

use super::rows;
use crate::sql::call::json;
use crate::sql::{Call, Dialect, SqlStore, statements as sql};

/// Who changes something, why and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) actor: &'a str,
    pub(super) cause: &'a str,
    pub(super) at: Timestamp,
}

/// Writes the event of a change that has already reached the job's row, and its hint.
pub(super) async fn note<D: Dialect>(
    connection: &mut D::Connection,
    job: &Job,
    from: Option<JobStatus>,
    act: Act<'_>,
) -> Result<()> {
    Call::<D>::new(&sql::EVENT_ADD)
        .int(job.id.0)
        .int(job.row_version)
        .int(job.attempt)
        .maybe_text(from.map(JobStatus::as_str))
        .text(job.status.as_str())
        .text(act.actor)
        .text(act.cause)
        .at(act.at)
        .run_one(connection)
        .await?;
    if job.status == JobStatus::Waiting {
        Call::<D>::new(&sql::OUTBOX_ADD).int(job.id.0).run_one(connection).await?;
    }
    Ok(())
}

pub(super) async fn outbox<D: Dialect>(store: &SqlStore<D>, limit: u32) -> Result<Vec<OutboxRow>> {
    store
        .all(Call::<D>::new(&sql::OUTBOX).int(limit), |c| {
            Ok(OutboxRow { id: c.int("id")?, job: JobId(c.int("job")?), route: rows::route(c)? })
        })
        .await
}

pub(super) async fn mark_sent<D: Dialect>(store: &SqlStore<D>, ids: &[i64]) -> Result<()> {
    let call = Call::<D>::new(&sql::OUTBOX_SENT).text(&json(&ids)?);
    store.at_once(call, |_| Ok(())).await.map(drop)
}
