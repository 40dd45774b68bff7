//! `POST /submissions/batch`: many requests to build at once.

use futures_util::{StreamExt, stream};
use poem::Response;
use pybit_core::model::{NewSubmission, SubmissionId};
use pybit_core::protocol::{BatchLine, BatchReply, BatchRequest};
use pybit_core::storage::Recorded;
use pybit_core::{Error, ErrorKind};
use serde_json::Value;

use super::submissions;
use crate::body;
use crate::call::{Call, ok};
use crate::error::{ApiError, ApiResult};

/// Submissions that are worked on beside each other: the storage records such together.
const AT_ONCE: usize = 512;

/// `POST /submissions/batch`
///
/// Nothing is recorded where the whole may become more jobs than need no confirmation. The same key and the same lines again give
/// the same submissions; a failure of the server ends the whole, and asking again with the key goes on behind it.
pub(crate) async fn submit(mut call: Call) -> ApiResult<Response> {
    let key = call.idempotency_key()?;
    let BatchRequest { submissions, confirmed } = call.json_up_to(body::LIST).await?;
    let farm = &call.state.farm;
    let most = farm.policy().batch_lines;
    if submissions.len() > most as usize {
        let message =
            format!("a batch may hold {most} submissions, this one has {}", submissions.len());
        return Err(Error::invalid(message).with_code("too_many_submissions").into());
    }
    let mut jobs = 0;
    let mut lines = Vec::with_capacity(submissions.len());
    for line in submissions {
        let line = read(line);
        if let Ok(request) = &line {
            // What is refused becomes none.
            jobs += farm.most_jobs(request).await.unwrap_or(0);
        }
        lines.push(line);
    }
    farm.check_confirmed(jobs, confirmed)?;
    let one = |(n, line): (usize, ApiResult<NewSubmission>)| {
        let key = key.as_ref().map(|key| format!("{key}\nline {n}"));
        let call = &call;
        async move {
            match line {
                Ok(request) => record(call, request, key.as_deref()).await,
                Err(refused) => Ok(said(&refused)),
            }
        }
    };
    let mut answers = stream::iter(lines.into_iter().enumerate()).map(one).buffered(AT_ONCE);
    let mut lines = Vec::new();
    while let Some(line) = answers.next().await {
        lines.push(line?);
    }
    ok(&BatchReply { lines })
}

fn read(line: Value) -> ApiResult<NewSubmission> {
    serde_json::from_value(line)
        .map_err(|e| ApiError::malformed("malformed_submission", format!("it cannot be read: {e}")))
}

/// Records one; `Err` where the server cannot go on.
async fn record(call: &Call, request: NewSubmission, key: Option<&str>) -> ApiResult<BatchLine> {
    let main = match submissions::description(call, &request).await {
        Ok(main) => main,
        Err(refused) if refused.is_the_callers() => return Ok(said(&refused)),
        Err(failed) => return Err(failed),
    };
    let Recorded { submission, jobs, repeated } =
        match call.state.farm.submit(call.who()?, request, key, main.as_deref()).await {
            Ok(recorded) => recorded,
            Err(error) if is_refusal(&error) => return Ok(said(&error.into())),
            Err(failed) => return Err(failed.into()),
        };
    let submission: SubmissionId = submission.id;
    Ok(BatchLine::Recorded { submission, jobs: jobs.iter().map(|j| j.id).collect(), repeated })
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Invalid
            | ErrorKind::Malformed
            | ErrorKind::Conflict
            | ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::TooLarge
            | ErrorKind::Unsupported
    )
}

fn said(refused: &ApiError) -> BatchLine {
    BatchLine::Refused { code: refused.code().to_owned(), message: refused.message().to_owned() }
}
