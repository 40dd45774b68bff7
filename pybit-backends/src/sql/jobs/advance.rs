//! One decided change takes effect, or nothing does.

use pybit_core::clock::Timestamp;
use pybit_core::farm::machine::FARM;
use pybit_core::model::{ClientName, Job, JobId, Outcome, Version};
use pybit_core::storage::{Advance, AttemptEnd, Change, HealthMark};
use pybit_core::trial::{self, Mutation};
use pybit_core::{Error, Result};

use super::history::{Act, note};
use super::plant::plant_all;
use super::prepare::{Held, prepare};
use super::rows;
use crate::sql::call::json;
use crate::sql::{Call, Dialect, SqlStore, commit, statements as sql};

pub(super) async fn advance<D: Dialect>(
    store: &SqlStore<D>,
    change: &Change,
    at: Timestamp,
) -> Result<Advance> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let (before, held) = hold::<D>(connection, change).await?;
    let unlocked = without_version(&before, change);
    let change = unlocked.as_ref().unwrap_or(change);
    if !still_stands(&before, change) {
        return Ok(Advance::Stale(Box::new(before)));
    }
    if !before.status.may_become(change.after.status) {
        let message = format!(
            "job {} is {} and cannot become {}",
            before.id, before.status, change.after.status
        );
        return Err(Error::internal(message).with_code("illegal_transition"));
    }
    if change.needs_files {
        refuse_incomplete::<D>(connection, &before).await?;
    }
    let after = set::<D>(connection, change, at).await?;
    let act = Act { actor: &change.actor, cause: &change.cause, at };
    note::<D>(connection, &after, Some(before.status), act).await?;
    move_attempt::<D>(connection, &before, change, at).await?;
    mark_health::<D>(connection, &before, change).await?;
    let followed = plant_all::<D>(connection, after.submission, &change.follow, held, act).await?;
    before_commit();
    commit(transaction).await?;
    Ok(Advance::Done(Box::new(after), followed))
}

/// Moves the attempt number of a resting job past one that was never given.
pub(super) async fn outrun<D: Dialect>(
    store: &SqlStore<D>,
    id: JobId,
    seen: u32,
    cause: &str,
    at: Timestamp,
) -> Result<Option<Job>> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let outrun = Call::<D>::new(&sql::JOB_OUTRUN).int(id.0).int(seen).at(at);
    let Some(job) = outrun.first(connection, rows::job).await? else { return Ok(None) };
    let act = Act { actor: FARM, cause, at };
    note::<D>(connection, &job, Some(job.status), act).await?;
    commit(transaction).await?;
    Ok(Some(job))
}

/// The job as it is, held: nobody changes it or declares files of it before the transaction ends. With it, what the
/// following jobs need.
async fn hold<D: Dialect>(connection: &mut D::Connection, change: &Change) -> Result<(Job, Held)> {
    let (id, submission) = (change.after.id, change.after.submission);
    let held = prepare::<D>(connection, Some(id), submission, &change.follow).await?;
    let job = held.job(id).cloned();
    let job = job.ok_or_else(|| Error::not_found(format!("there is no job {id}")))?;
    Ok((job, held))
}

/// A change that a test build applies to whatever the job has become.
fn without_version(job: &Job, change: &Change) -> Option<Change> {
    let finishes = change.attempt_end.as_ref().is_some_and(|e| e.outcome == Outcome::Succeeded);
    (finishes && trial::is_broken(Mutation::DropCasOnFinish))
        .then(|| Change { expected: job.row_version, ..change.clone() })
}

pub(super) fn still_stands(job: &Job, change: &Change) -> bool {
    job.row_version == change.expected
        && change.expected_lease.is_none_or(|epoch| epoch == job.lease_epoch)
}

async fn refuse_incomplete<D: Dialect>(connection: &mut D::Connection, job: &Job) -> Result<()> {
    let missing = Call::<D>::new(&sql::STREAM_INCOMPLETE)
        .int(job.id.0)
        .int(job.attempt)
        .first(connection, |c| c.text("name"))
        .await?;
    match missing {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "the file {name} of attempt {} of job {} is incomplete",
                job.attempt, job.id
            );
            Err(Error::conflict(message).with_code("files_incomplete"))
        }
    }
}

/// The compare-and-set. The job is held, so it is as it was read.
async fn set<D: Dialect>(
    connection: &mut D::Connection,
    change: &Change,
    at: Timestamp,
) -> Result<Job> {
    let after = &change.after;
    let (avoid, failure) = (after.avoid.as_ref(), after.failure.as_ref());
    Call::<D>::new(&sql::JOB_ADVANCE)
        .int(after.id.0)
        .int(change.expected)
        .maybe_int(change.expected_lease)
        .text(after.status.as_str())
        .at(at)
        .text(after.package.as_str())
        .maybe_text(after.version.as_ref().map(Version::as_str))
        .blob(change.version_key.as_deref())
        .maybe_text(after.client.as_ref().map(ClientName::as_str))
        .int(after.infra_retries)
        .int(after.dep_waits)
        .text(&json(&after.lost_by)?)
        .maybe_text(avoid.map(|a| a.client.as_str()))
        .maybe_at(avoid.map(|a| a.until))
        .at(after.not_before)
        .int(after.priority)
        .int(after.weight)
        .text(&json(&after.unmet)?)
        .maybe_text(failure.map(|f| f.class.as_str()))
        .maybe_text(failure.map(|f| f.message.as_str()))
        .text(&json(&after.produced)?)
        .maybe_int(after.superseded_by.map(|j| j.0))
        .one(connection, rows::job)
        .await
}

/// Takes back or writes down how the newest attempt ended.
async fn move_attempt<D: Dialect>(
    connection: &mut D::Connection,
    job: &Job,
    change: &Change,
    at: Timestamp,
) -> Result<()> {
    if change.attempt_end.is_none() && !change.reopen_attempt {
        return Ok(());
    }
    if job.attempt == 0 {
        return Err(Error::internal(format!("job {} has no attempt", job.id)));
    }
    if change.reopen_attempt {
        Call::<D>::new(&sql::ATTEMPT_REOPEN)
            .int(job.id.0)
            .int(job.attempt)
            .run_one(connection)
            .await?;
    }
    let Some(end) = &change.attempt_end else {
        return Ok(());
    };
    if end_attempt::<D>(connection, job, end, at).await? == 1 {
        return Ok(());
    }
    let message = format!("attempt {} of job {} has already ended", job.attempt, job.id);
    Err(Error::conflict(message).with_code("attempt_ended"))
}

async fn end_attempt<D: Dialect>(
    connection: &mut D::Connection,
    job: &Job,
    end: &AttemptEnd,
    at: Timestamp,
) -> Result<u64> {
    let ended = Call::<D>::new(&sql::ATTEMPT_END)
        .int(job.id.0)
        .int(job.attempt)
        .text(end.outcome.as_str())
        .maybe_text(end.failure.as_ref().map(|f| f.class.as_str()))
        .maybe_text(end.failure.as_ref().map(|f| f.message.as_str()))
        .maybe_text(end.log_sha256.as_deref())
        .at(at)
        .run(connection)
        .await;
    ended.map_err(|error| {
        if end.outcome != Outcome::Succeeded || error.kind() != pybit_core::ErrorKind::Conflict {
            return error;
        }
        let message = format!("job {} already has an attempt that succeeded", job.id);
        Error::conflict(message).with_code("already_succeeded").with_source(error)
    })
}

async fn mark_health<D: Dialect>(
    connection: &mut D::Connection,
    job: &Job,
    change: &Change,
) -> Result<()> {
    let (Some(mark), Some(client)) = (change.health, job.client.as_ref()) else {
        return Ok(());
    };
    let (statement, until) = match mark {
        HealthMark::Well => (&sql::CLIENT_WELL, Timestamp::from_micros(0)),
        HealthMark::Ill { quarantined_until } => (&sql::CLIENT_ILL, quarantined_until),
    };
    Call::<D>::new(statement).text(client.as_str()).at(until).run(connection).await.map(drop)
}

/// Everything is written and nothing holds yet.
pub(super) fn before_commit() {
    trial::crash_point("change_before_commit");
}
