//! Logs: read once, or followed.

use poem::Response;
use pybit_core::Error;
use pybit_core::model::{JobId, StreamOwner};
use serde::Deserialize;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::{follow, front, streams};

/// Which part of which log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    attempt: Option<u32>,
    #[serde(default)]
    offset: u64,
}

/// `GET /jobs/{id}/log`: what is durable by now, from the offset on.
pub(crate) async fn read(call: Call) -> ApiResult<Response> {
    let id: JobId = call.id("id")?;
    let Part { attempt, offset } = call.query()?;
    let job = call.state.farm.job(id).await?;
    let attempt = attempt.unwrap_or(job.attempt);
    let owner = StreamOwner::Attempt { job: id, attempt };
    let absent = || {
        let message = format!("job {id} has no attempt {attempt}, and so no log of it");
        Error::not_found(message).with_code("no_log")
    };
    let log = streams::log_of(&call.state, owner).await?.ok_or_else(absent)?;
    let from = offset.min(log.length);
    let mut response = Response::builder()
        .content_type("text/plain; charset=utf-8")
        .header("content-length", log.length - from)
        .body(streams::body(&call.state, log.id, from, log.length));
    front::inert(&mut response);
    Ok(response)
}

/// `GET /jobs/{id}/log/stream`: followed until the attempt has ended.
pub(crate) async fn stream(call: Call) -> ApiResult<Response> {
    let id: JobId = call.id("id")?;
    let Part { attempt, offset } = call.query()?;
    let job = call.state.farm.job(id).await?;
    if let Some(attempt) = attempt.filter(|a| *a == 0 || *a > job.attempt) {
        let message = format!("job {id} has no attempt {attempt}");
        return Err(Error::not_found(message).with_code("no_log").into());
    }
    let resumed = match call.header("last-event-id") {
        None | Some("") => offset,
        Some(text) => text.parse().map_err(|_| {
            ApiError::malformed("invalid_offset", "Last-Event-ID must be an offset of this log")
        })?,
    };
    follow::follow(&call.state, id, attempt, resumed)
}
