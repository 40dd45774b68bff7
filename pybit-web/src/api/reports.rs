//! How attempts end, told by their build clients.

use bytes::Bytes;
use poem::Response;
use pybit_core::farm::machine::Holder;
use pybit_core::model::{ClientName, Job, JobId, JobKind, JobStatus, StreamOwner};
use pybit_core::protocol::{FailRequest, FinishRequest, LogDigest, RefuseRequest, StoppedRequest};
use pybit_core::{Error, Result};

use super::submissions::DESCRIPTION;
use crate::call::{Call, ok};
use crate::error::ApiResult;
use crate::streams;

/// `POST /client/jobs/{id}/finish`
pub(crate) async fn finish(mut call: Call) -> ApiResult<Response> {
    let request: FinishRequest = call.json().await?;
    let (id, client) = (call.id("id")?, call.client()?);
    check_log(&request.log)?;
    let main = source_description(&call, id, &client, &request).await?;
    let job = call.state.farm.finish(&client, id, &request, main.as_deref()).await?;
    taken(&call, "finish", &job)
}

/// `POST /client/jobs/{id}/fail`
pub(crate) async fn fail(mut call: Call) -> ApiResult<Response> {
    let request: FailRequest = call.json().await?;
    let (id, client) = (call.id("id")?, call.client()?);
    check_log(&request.log)?;
    let job = call.state.farm.fail(&client, id, &request).await?;
    taken(&call, "fail", &job)
}

/// `POST /client/jobs/{id}/refuse`
pub(crate) async fn refuse(mut call: Call) -> ApiResult<Response> {
    let request: RefuseRequest = call.json().await?;
    let (id, client) = (call.id("id")?, call.client()?);
    let job = call.state.farm.refuse(&client, id, request.attempt, &request.reason).await?;
    taken(&call, "refuse", &job)
}

/// `POST /client/jobs/{id}/stopped`
pub(crate) async fn stopped(mut call: Call) -> ApiResult<Response> {
    let request: StoppedRequest = call.json().await?;
    let (id, client) = (call.id("id")?, call.client()?);
    check_log(&request.log)?;
    let job = call.state.farm.stopped(&client, id, request.attempt, &request.log).await?;
    taken(&call, "stopped", &job)
}

fn taken(call: &Call, end: &'static str, job: &Job) -> ApiResult<Response> {
    call.state.metrics.reported(end);
    call.state.logs.wake(job.id);
    ok(job)
}

fn check_log(log: &LogDigest) -> Result<()> {
    let digits = log.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if log.sha256.len() == 64 && digits {
        return Ok(());
    }
    let message = "the log's SHA-256 must be 64 lower-case hexadecimal digits";
    Err(Error::invalid(message).with_code("invalid_digest"))
}

/// What a source job's result says of itself; `None` where the farm does not look at it.
async fn source_description(
    call: &Call,
    id: JobId,
    client: &ClientName,
    request: &FinishRequest,
) -> Result<Option<Bytes>> {
    let state = &call.state;
    let Some(source) = &request.source else { return Ok(None) };
    let holder = Holder { client: client.clone(), attempt: request.attempt };
    let job = state.farm.held_job(id, &holder).await?;
    let open = matches!(job.status, JobStatus::Building | JobStatus::Waiting);
    if !open || job.kind != JobKind::Source {
        return Ok(None);
    }
    if !request.files.iter().any(|f| f.name == source.main) {
        let message = format!("{} is not among the files of the result", source.main);
        return Err(Error::invalid(message).with_code("main_missing"));
    }
    let owner = StreamOwner::Attempt { job: id, attempt: request.attempt };
    let stream = streams::file_of(state, owner, source.main.as_str()).await?;
    let Some(stream) = stream.filter(|s| s.object.is_some()) else {
        let message = format!("{} has not arrived whole; send it first", source.main);
        return Err(Error::conflict(message).with_code("files_incomplete"));
    };
    streams::read_range(state, &stream, 0, DESCRIPTION).await.map(Some)
}
