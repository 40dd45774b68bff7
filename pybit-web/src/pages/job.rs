//! One job: what it is, why it is where it is, its log, files, attempts and history.

use askama::Template;
use poem::web::{Data, Path, Query};
use poem::{Response, handler};
use pybit_core::farm::JobHistory;
use pybit_core::model::{Attempt, Job, JobId, JobStatus, StreamOwner, StreamRole};
use pybit_core::protocol::ClientReason;
use pybit_core::{Error, Result};
use serde::Deserialize;

use super::rows::{AttemptRow, EventRow, FileRow, JobRow, When};
use super::{VERSION, page, text};
use crate::app::AppState;

/// Bytes of a log that a page shows.
const SHOWN: u64 = 128 << 10;

/// Which attempt's log is shown; the newest where left out.
#[derive(Debug, Deserialize)]
pub(crate) struct Shown {
    attempt: Option<u32>,
}

struct Link {
    what: &'static str,
    job: i64,
}

struct LogPart {
    attempt: u32,
    length: u64,
    skipped: u64,
    end: u64,
    text: String,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    section: &'static str,
    version: &'static str,
    row: JobRow,
    master: bool,
    explanation: String,
    source: String,
    principal: String,
    submission: i64,
    created: When,
    links: Vec<Link>,
    unmet: Vec<String>,
    reasons: Vec<ClientReason>,
    files: Vec<FileRow>,
    log: Option<LogPart>,
    live: bool,
    attempts: Vec<AttemptRow>,
    events: Vec<EventRow>,
}

/// `GET /jobs/{id}`
#[handler]
pub(crate) async fn show(
    state: Data<&AppState>,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
) -> Response {
    page(read(&state, &id, shown.attempt).await)
}

async fn read(state: &AppState, id: &str, attempt: Option<u32>) -> Result<JobPage> {
    let id: JobId = id.parse().map_err(|_| Error::not_found("there is no such job"))?;
    let (farm, storage) = (&state.farm, state.farm.storage());
    let now = farm.clock().now();
    let JobHistory { job, attempts, events } = farm.history(id).await?;
    let explanation = farm.explain(&job).await?;
    let submission = storage.submission(job.submission).await?;
    let submission = submission.ok_or_else(|| Error::internal("a job has a submission"))?;
    let files = crate::api::jobs::file_states(state, &job).await?;
    let number = attempt.or_else(|| attempts.last().map(|a| a.number));
    let log = match attempts.iter().find(|a| Some(a.number) == number) {
        Some(attempt) => log_part(state, attempt).await?,
        None => None,
    };
    let live = job.status.is_held() && log.as_ref().is_some_and(|l| l.attempt == job.attempt);
    Ok(JobPage {
        section: "jobs",
        version: VERSION,
        master: job.master,
        explanation: explanation.summary,
        source: submission.request.source.to_string(),
        principal: submission.principal,
        submission: submission.id.0,
        created: When::new(job.created_at, now),
        links: links(&job),
        unmet: if job.status == JobStatus::Blocked { job.unmet.clone() } else { Vec::new() },
        reasons: explanation.clients,
        files: files.iter().map(FileRow::new).collect(),
        log,
        live,
        attempts: attempts.iter().map(|a| AttemptRow::new(a, now)).collect(),
        events: events.iter().map(|e| EventRow::new(e, now)).collect(),
        row: JobRow::new(&job, now),
    })
}

fn links(job: &Job) -> Vec<Link> {
    let link = |what, id: Option<JobId>| id.map(|job| Link { what, job: job.0 });
    let all = [
        link("Built from", job.source_job),
        link("Tries again", job.retries_of),
        link("Superseded by", job.superseded_by),
    ];
    all.into_iter().flatten().collect()
}

/// The last part of an attempt's log.
async fn log_part(state: &AppState, attempt: &Attempt) -> Result<Option<LogPart>> {
    let owner = StreamOwner::Attempt { job: attempt.job, attempt: attempt.number };
    let streams = state.farm.storage().streams(owner).await?;
    let Some(stream) = streams.into_iter().find(|s| s.role == StreamRole::Log) else {
        return Ok(None);
    };
    let skipped = stream.length.saturating_sub(SHOWN);
    let bytes = crate::streams::read_range(state, &stream, skipped, SHOWN).await?;
    let shown = if skipped == 0 { &bytes[..] } else { after_first_line(&bytes) };
    Ok(Some(LogPart {
        attempt: attempt.number,
        length: stream.length,
        skipped,
        end: skipped + bytes.len() as u64,
        text: text::plain(shown),
    }))
}

fn after_first_line(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|b| *b == b'\n').map_or(bytes, |at| &bytes[at + 1..])
}
