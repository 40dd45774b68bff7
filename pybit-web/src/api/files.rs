//! Finished files, always to be saved and never to be shown: they come from strangers.

use poem::Response;
use poem::http::header;
use pybit_core::Error;
use pybit_core::model::{FileName, JobId, Outcome, Stream, StreamOwner, UploadId};

use super::uploads::unknown_file;
use crate::call::Call;
use crate::error::ApiResult;
use crate::{front, streams};

/// `GET /jobs/{id}/files/{name}`: of the attempt whose result was accepted, else of the newest.
pub(crate) async fn of_job(call: Call) -> ApiResult<Response> {
    let id: JobId = call.id("id")?;
    let name: FileName = call.name("name")?;
    let job = call.state.farm.job(id).await?;
    let attempts = call.state.farm.storage().attempts(id).await?;
    let accepted = attempts.iter().find(|a| a.outcome == Some(Outcome::Succeeded));
    let attempt = accepted.map_or(job.attempt, |a| a.number);
    download(&call, StreamOwner::Attempt { job: id, attempt }, &name).await
}

/// `GET /uploads/{id}/files/{name}`
pub(crate) async fn of_upload(call: Call) -> ApiResult<Response> {
    let id: UploadId = call.id("id")?;
    let name: FileName = call.name("name")?;
    download(&call, StreamOwner::Upload(id), &name).await
}

async fn download(call: &Call, owner: StreamOwner, name: &FileName) -> ApiResult<Response> {
    let stream = streams::file_of(&call.state, owner, name.as_str()).await?;
    let stream = stream.ok_or_else(|| unknown_file(name))?;
    if stream.object.is_none() {
        let message = format!("{name} has not arrived whole yet");
        return Err(Error::not_found(message).with_code("incomplete").into());
    }
    let tag = format!("\"{}\"", stream.sha256.as_deref().unwrap_or_default());
    if front::is_unchanged(call.header("if-none-match"), &tag) {
        return Ok(front::unchanged());
    }
    Ok(attachment(call, &stream, &tag))
}

fn attachment(call: &Call, stream: &Stream, tag: &str) -> Response {
    let mut response = Response::builder()
        .content_type("application/octet-stream")
        .header(header::CONTENT_LENGTH, stream.length)
        .header(header::ETAG, tag)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", stream.name))
        .body(streams::body(&call.state, stream.id, 0, stream.length));
    front::inert(&mut response);
    response
}
