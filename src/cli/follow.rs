//! Waiting for a submission, with or without its logs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use pybit_client::{Api, LogEvent, Retry};
use pybit_core::Result;
use pybit_core::model::{Job, JobId, JobStatus, SubmissionId};
use pybit_core::protocol::SubmissionReply;
use tokio::task::JoinSet;

use super::context::patiently;
use super::{jobs, output};

/// How often the server is asked while nothing else says that something has changed.
const TICK: Duration = Duration::from_millis(500);

/// Whether every job has ended well, none being left out.
pub(super) fn all_done(reply: &SubmissionReply) -> bool {
    reply.jobs.iter().all(|j| j.status == JobStatus::Done)
}

fn all_ended(reply: &SubmissionReply) -> bool {
    reply.jobs.iter().all(|j| j.status.is_terminal())
}

/// Waits until every job of the submission has ended, those that a source job leads to among them.
///
/// The jobs that follow a source job come into being in the transaction that ends it, so a submission whose jobs have all
/// ended gets no more.
pub(super) async fn wait(api: &Api, id: SubmissionId, say: bool) -> Result<SubmissionReply> {
    let mut seen = Seen::default();
    loop {
        let reply = current(api, id).await?;
        if say {
            seen.tell(&reply.jobs);
        }
        if all_ended(&reply) {
            return Ok(reply);
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Prints every log as it grows, each attempt's, then ends like [`wait`]. Where several jobs run at once each line says whose it is.
pub(super) async fn logs(api: &Api, id: SubmissionId) -> Result<SubmissionReply> {
    let mut seen = Seen::default();
    let mut followed = BTreeSet::new();
    let mut following = JoinSet::new();
    loop {
        let reply = current(api, id).await?;
        seen.tell(&reply.jobs);
        let several =
            reply.jobs.iter().filter(|j| j.kind == pybit_core::model::JobKind::Binary).count() > 1;
        for job in reply.jobs.iter().filter(|j| j.attempt > 0) {
            if followed.insert((job.id, job.attempt)) {
                let prefix = several.then(|| format!("{} {} | ", job.package, job.target.arch));
                following.spawn(follow(api.clone(), job.id, job.attempt, prefix));
            }
        }
        if all_ended(&reply) {
            while following.join_next().await.is_some() {}
            return Ok(reply);
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The submission, however often the server restarts meanwhile.
async fn current(api: &Api, id: SubmissionId) -> Result<SubmissionReply> {
    patiently(restarts(), async || api.submission(id).await).await
}

/// A server may be away for some minutes while people wait.
fn restarts() -> Retry {
    Retry { tries: Some(60), ..Retry::patient() }
}

/// Prints one log to its end. A log that cannot be read to its end changes nothing about the job, and is only told of.
async fn follow(api: Api, job: JobId, attempt: u32, prefix: Option<String>) {
    if let Err(error) = print_log(&api, job, attempt, prefix).await {
        output::complain(&format!("the log of job {job}, attempt {attempt}, breaks off: {error}"));
    }
}

async fn print_log(api: &Api, job: JobId, attempt: u32, prefix: Option<String>) -> Result<()> {
    let mut events = api.follow(job, Some(attempt), 0, restarts());
    let mut rest = Vec::new();
    while let Some(event) = events.next().await {
        let LogEvent::Log { bytes, .. } = event? else { continue };
        match &prefix {
            None => output::log(&bytes),
            Some(prefix) => {
                rest.extend_from_slice(&bytes);
                if let Some(end) = rest.iter().rposition(|b| *b == b'\n') {
                    let lines: Vec<u8> = rest.drain(..=end).collect();
                    print_lines(prefix, &lines);
                }
            }
        }
    }
    if let Some(prefix) = prefix.filter(|_| !rest.is_empty()) {
        print_lines(&prefix, &rest);
    }
    Ok(())
}

fn print_lines(prefix: &str, lines: &[u8]) {
    let mut text = Vec::with_capacity(lines.len() * 2);
    for line in lines.split_inclusive(|b| *b == b'\n') {
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(line);
    }
    output::log(&text);
}

/// What has been told already.
#[derive(Default)]
struct Seen(BTreeMap<JobId, (JobStatus, u32)>);

impl Seen {
    fn tell(&mut self, jobs: &[Job]) {
        for job in jobs {
            let now = (job.status, job.attempt);
            if self.0.insert(job.id, now) != Some(now) {
                output::note(sentence(job));
            }
        }
    }
}

fn sentence(job: &Job) -> String {
    let version = job.version.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
    let client = job
        .client
        .as_ref()
        .filter(|_| job.status.is_held())
        .map(|c| format!(" on {c}"))
        .unwrap_or_default();
    let attempt =
        if job.attempt > 1 { format!(" (attempt {})", job.attempt) } else { String::new() };
    let note = Some(jobs::note(job))
        .filter(|n| !n.is_empty())
        .map(|n| format!(": {n}"))
        .unwrap_or_default();
    format!(
        "job {} {}{version} {}: {}{client}{attempt}{note}",
        job.id, job.package, job.target.arch, job.status
    )
}
