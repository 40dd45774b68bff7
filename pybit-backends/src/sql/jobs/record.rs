//! A submission comes in.

use pybit_core::clock::Timestamp;
use pybit_core::model::Submission;
use pybit_core::storage::{Recorded, SubmissionRecord};
use pybit_core::{Error, Result, trial};

use super::history::Act;
use super::plant::plant_all;
use super::prepare::prepare;
use super::rows;
use crate::sql::call::{json, signed};
use crate::sql::{Call, Dialect, SqlStore, commit, statements as sql, turns};

pub(super) async fn record<D: Dialect>(
    store: &SqlStore<D>,
    record: &SubmissionRecord,
    at: Timestamp,
) -> Result<Recorded> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    if let Some(key) = &record.idempotency_key
        && let Some(first) = first_result::<D>(connection, record, key).await?
    {
        return Ok(first);
    }
    let submission = Call::<D>::new(&sql::SUBMISSION_ADD)
        .text(&json(&record.request)?)
        .text(&record.principal)
        .at(at)
        .text(&json(&record.names)?)
        .one(connection, rows::submission)
        .await?;
    let held = prepare::<D>(connection, None, submission.id, &record.jobs).await?;
    let act = Act { actor: &record.principal, cause: "submitted", at };
    let jobs = plant_all::<D>(connection, submission.id, &record.jobs, held, act).await?;
    if let Some(key) = &record.idempotency_key {
        Call::<D>::new(&sql::IDEMPOTENCY_ADD)
            .text(&record.principal)
            .text(key)
            .int(submission.id.0)
            .int(signed(jobs.len() as u64)?)
            .run_one(connection)
            .await?;
    }
    before_commit();
    commit(transaction).await?;
    Ok(Recorded { submission, jobs, repeated: false })
}

/// Requests with one key are decided on one after the other.
pub(super) fn turn(record: &SubmissionRecord, key: &str) -> String {
    format!("idempotency {} {key}", record.principal)
}

/// What an earlier request with this key became, if there was one.
async fn first_result<D: Dialect>(
    connection: &mut D::Connection,
    record: &SubmissionRecord,
    key: &str,
) -> Result<Option<Recorded>> {
    turns::take::<D>(connection, [turn(record, key)]).await?;
    let found: Option<(Submission, i64)> = Call::<D>::new(&sql::SUBMISSION_BY_KEY)
        .text(&record.principal)
        .text(key)
        .first(connection, |c| Ok((rows::submission(c)?, c.int("planned")?)))
        .await?;
    let Some((submission, planned)) = found else {
        return Ok(None);
    };
    if submission.request != record.request {
        let message = format!(
            "the idempotency key belongs to submission {}, which asked for something else; use another key",
            submission.id
        );
        return Err(Error::conflict(message).with_code("idempotency_key_reused"));
    }
    let jobs = Call::<D>::new(&sql::JOBS_PLANNED)
        .int(submission.id.0)
        .int(planned)
        .all(connection, rows::job)
        .await?;
    Ok(Some(Recorded { submission, jobs, repeated: true }))
}

/// Everything is written and nothing holds yet.
pub(super) fn before_commit() {
    trial::crash_point("submission_before_commit");
}
