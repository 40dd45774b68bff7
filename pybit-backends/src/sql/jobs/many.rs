//! Common ground of what many callers have done in one transaction.

use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobStatus};
use pybit_core::{Error, Result};
use serde_json::{Value, json};

use crate::sql::call::storable;
use crate::sql::group::Answer;
use crate::sql::statement::Statement;
use crate::sql::{COMMIT, Call, Dialect};

/// The answers of a transaction: where it was taken back as a whole everybody goes alone, and where its end is not known
/// everybody is told so.
pub(super) fn answers<O>(count: usize, outcome: Result<Vec<Option<O>>>) -> Vec<Answer<O>> {
    match outcome {
        Ok(all) => {
            all.into_iter().map(|one| one.map_or(Answer::Alone, |o| Answer::Done(Ok(o)))).collect()
        }
        Err(error) if error.op() == COMMIT => {
            let again = || Error::new(error.kind(), error.message().to_owned()).with_op(COMMIT);
            (0..count).map(|_| Answer::Done(Err(again()))).collect()
        }
        Err(error) => {
            tracing::debug!(?error, count, "a transaction of many was taken back");
            (0..count).map(|_| Answer::Alone).collect()
        }
    }
}

/// Runs a statement about these rows, where there are any.
pub(super) async fn run<D: Dialect>(
    connection: &mut D::Connection,
    statement: &'static Statement,
    rows: &[Value],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let changed = Call::<D>::new(statement).text(&Value::from(rows).to_string()).run(connection);
    same_count(usize::try_from(changed.await?).unwrap_or(usize::MAX), rows.len())
}

/// Every row of a list was found or made.
pub(super) fn same_count(is: usize, should_be: usize) -> Result<()> {
    if is == should_be {
        return Ok(());
    }
    Err(Error::internal(format!("{is} rows were changed, not {should_be}")))
}

/// The event of a change that has already reached the job's row.
pub(super) fn event(
    job: &Job,
    from: Option<JobStatus>,
    actor: &str,
    cause: &str,
    at: Timestamp,
) -> Value {
    json!({
        "job": job.id.0, "number": job.row_version, "attempt": job.attempt,
        "from": from.map(JobStatus::as_str), "to": job.status.as_str(),
        "actor": storable(actor), "cause": storable(cause), "at": at.as_micros(),
    })
}
