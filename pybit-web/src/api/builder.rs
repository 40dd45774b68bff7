//! Build clients: claims, heartbeats, and the bytes that they send. The token says which client it is.

use std::time::Duration;

use poem::Response;
use pybit_core::farm::machine::Holder;
use pybit_core::model::{FileName, Job, JobId, Stream, StreamOwner};
use pybit_core::protocol::{
    ClaimReply, ClaimRequest, FileState, HeartbeatReply, HeartbeatRequest, Length, Manifest,
};
use pybit_core::storage::ClientReport;
use pybit_core::{Error, ErrorKind, Farm, Policy};

use super::uploads::{check_files, unknown_file};
use super::{AttemptOffset, changed, file_state};
use crate::body;
use crate::call::{Call, ok};
use crate::error::{ApiError, ApiResult};
use crate::streams;

/// A held claim asks again this often, for what another server was told.
const POLL: Duration = Duration::from_secs(10);
/// Targets that one client may offer.
const MOST_OFFERS: usize = 1000;
/// Jobs that one heartbeat may list.
const MOST_HELD: usize = 1000;

/// `POST /client/claim`: held until there is a job, as long as the client wants.
pub(crate) async fn claim(mut call: Call) -> ApiResult<Response> {
    let request: ClaimRequest = call.json().await?;
    check_report(&call, &request.client)?;
    let (state, farm) = (&call.state, &call.state.farm);
    // Lined up before the first try, so that no job comes between the two.
    let mut place = farm.line_up(&request.client.offers);
    let deadline = tokio::time::Instant::now() + Farm::longest_wait(request.wait_ms);
    let assignment = loop {
        let assignment = farm.claim(&request.client, &request.claim_id).await?;
        if assignment.is_some() {
            place.got_one();
            break assignment;
        }
        place.got_nothing();
        if !changed(state, place.called(), deadline, POLL).await {
            break None;
        }
    };
    if assignment.is_some() {
        state.metrics.claimed();
    }
    ok(&ClaimReply { assignment, lease: farm.policy().lease_times() })
}

/// `POST /client/heartbeat`
pub(crate) async fn heartbeat(mut call: Call) -> ApiResult<Response> {
    let request: HeartbeatRequest = call.json().await?;
    check_report(&call, &request.client)?;
    if request.jobs.len() > MOST_HELD {
        let message = format!("a client holds at most {MOST_HELD} jobs");
        return Err(Error::new(ErrorKind::TooLarge, message).into());
    }
    let farm = &call.state.farm;
    let (verdicts, draining) = farm.heartbeat(&request.client, &request.jobs).await?;
    ok(&HeartbeatReply { verdicts, draining, lease: farm.policy().lease_times() })
}

/// `PATCH /client/jobs/{id}/log`
pub(crate) async fn append_log(mut call: Call) -> ApiResult<Response> {
    let AttemptOffset { attempt, offset } = call.query()?;
    let job = held(&call, attempt).await?;
    let owner = StreamOwner::Attempt { job: job.id, attempt };
    let log = streams::log_of(&call.state, owner).await?;
    let log = log.ok_or_else(|| Error::internal(format!("attempt {attempt} has no log")))?;
    let bytes = call.bytes(body::LOG_PIECE).await?;
    let length = streams::append(&call.state, log, offset, &bytes).await?;
    ok(&Length { length })
}

/// `POST /client/jobs/{id}/files`
pub(crate) async fn declare(mut call: Call) -> ApiResult<Response> {
    let manifest: Manifest = call.json().await?;
    let job = held(&call, manifest.attempt).await?;
    let farm = &call.state.farm;
    let owner = StreamOwner::Attempt { job: job.id, attempt: manifest.attempt };
    check_files(&manifest.files, farm.policy())?;
    check_total(&manifest, &farm.storage().streams(owner).await?, farm.policy())?;
    let now = farm.clock().now();
    let streams = farm.storage().declare_files(owner, &manifest.files, now).await?;
    ok(&streams.iter().filter_map(file_state).collect::<Vec<FileState>>())
}

/// `PATCH /client/jobs/{id}/files/{name}`
pub(crate) async fn append_file(mut call: Call) -> ApiResult<Response> {
    let AttemptOffset { attempt, offset } = call.query()?;
    let name: FileName = call.name("name")?;
    let job = held(&call, attempt).await?;
    let owner = StreamOwner::Attempt { job: job.id, attempt };
    let stream = streams::file_of(&call.state, owner, name.as_str()).await?;
    let stream = stream.ok_or_else(|| unknown_file(&name))?;
    let bytes = call.bytes(body::PIECE).await?;
    let length = streams::append(&call.state, stream, offset, &bytes).await?;
    ok(&Length { length })
}

/// What an attempt declares bit by bit is bounded like what it declares at once.
fn check_total(manifest: &Manifest, declared: &[Stream], policy: &Policy) -> ApiResult<()> {
    let declared = declared.iter().filter_map(file_state).map(|f| f.spec);
    let declared = declared.filter(|d| manifest.files.iter().all(|f| f.name != d.name));
    let all: Vec<_> = manifest.files.iter().cloned().chain(declared).collect();
    Ok(check_files(&all, policy)?)
}

/// The job in the path, where the caller's client holds it with this attempt.
async fn held(call: &Call, attempt: u32) -> ApiResult<Job> {
    let id: JobId = call.id("id")?;
    let client = call.client()?;
    Ok(call.state.farm.held_job(id, &Holder { client, attempt }).await?)
}

/// A client speaks for itself alone, and not at any length.
fn check_report(call: &Call, report: &ClientReport) -> ApiResult<()> {
    if call.client()? != report.name {
        let message = format!("this token does not belong to the build client {}", report.name);
        return Err(ApiError::denied(message));
    }
    let short =
        |text: &str| (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !short(&report.boot) || !short(&report.version) {
        let message = "boot and version must be 1 to 100 printable characters";
        return Err(Error::invalid(message).with_code("invalid_report").into());
    }
    if report.offers.len() > MOST_OFFERS || !(1..=10_000).contains(&report.slots) {
        let message = format!("a client has 1 to 10000 slots and at most {MOST_OFFERS} offers");
        return Err(Error::invalid(message).with_code("invalid_report").into());
    }
    Ok(())
}
