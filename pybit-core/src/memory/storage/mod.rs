//! The farm's state as plain maps behind one lock.
//!
//! Nothing is ever removed but sent hints, rules and parts, so numbers are counted from the length of their table where
//! they can be.

mod accounts;
mod advance;
mod catalog;
mod claim;
mod clients;
mod jobs;
mod packages;
mod streams;
mod submit;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    Attempt, BlockRule, BuildClient, ClientName, Event, Job, JobId, JobStatus, Repository,
    RepositoryName, RuleId, StreamId, Submission, SubmissionId, Target, Token, Upload, UploadId,
};
use crate::storage::{Changes, OutboxRow};

/// Storage that lives and ends with its process.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
    changes: watch::Sender<Changes>,
}

impl MemoryStorage {
    /// The state, for one method's length. Writes come after every check, so a panic elsewhere leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    submissions: BTreeMap<SubmissionId, SubmissionRow>,
    /// By principal and idempotency key.
    keys: HashMap<(String, String), SubmissionId>,
    jobs: BTreeMap<JobId, JobRow>,
    outbox: BTreeMap<i64, OutboxRow>,
    last_outbox: i64,
    uploads: BTreeMap<UploadId, Upload>,
    streams: BTreeMap<StreamId, streams::StreamRow>,
    targets: BTreeMap<Target, i32>,
    repositories: BTreeMap<RepositoryName, Repository>,
    rules: BTreeMap<RuleId, BlockRule>,
    last_rule: i64,
    clients: BTreeMap<ClientName, BuildClient>,
    /// With the digest of the secret.
    tokens: Vec<(Token, String)>,
    farm_id: Option<String>,
}

#[derive(Debug)]
struct SubmissionRow {
    submission: Submission,
    /// The jobs that it became at once, in the order of its plan.
    planned: Vec<JobId>,
}

#[derive(Debug)]
struct JobRow {
    job: Job,
    version_key: Option<Vec<u8>>,
    events: Vec<Event>,
    attempts: Vec<AttemptRow>,
}

#[derive(Debug)]
struct AttemptRow {
    /// Its `log_length` is read from the stream instead.
    attempt: Attempt,
    claim_id: String,
}

/// Who changes something, why and when.
#[derive(Debug, Clone, Copy)]
struct Act<'a> {
    actor: &'a str,
    cause: &'a str,
    at: Timestamp,
}

impl State {
    fn row(&self, id: JobId) -> Result<&JobRow> {
        self.jobs.get(&id).ok_or_else(|| no_job(id))
    }

    fn row_mut(&mut self, id: JobId) -> Result<&mut JobRow> {
        self.jobs.get_mut(&id).ok_or_else(|| no_job(id))
    }

    /// Gives the job its next status, and writes the event and, where it became claimable, the hint.
    fn set_status(&mut self, id: JobId, to: JobStatus, act: Act<'_>) -> Result<()> {
        let job = &mut self.row_mut(id)?.job;
        let from = std::mem::replace(&mut job.status, to);
        job.row_version += 1;
        job.lease_epoch += 1;
        job.changed_at = act.at;
        self.note(id, Some(from), act)
    }

    fn note(&mut self, id: JobId, from: Option<JobStatus>, act: Act<'_>) -> Result<()> {
        let row = self.row_mut(id)?;
        let job = &row.job;
        row.events.push(Event {
            job: id,
            number: job.row_version,
            attempt: job.attempt,
            from,
            to: job.status,
            actor: act.actor.to_owned(),
            cause: act.cause.to_owned(),
            at: act.at,
        });
        if job.status == JobStatus::Waiting {
            let route = job.target.route();
            self.last_outbox += 1;
            let id_of_row = self.last_outbox;
            self.outbox.insert(id_of_row, OutboxRow { id: id_of_row, job: id, route });
        }
        Ok(())
    }
}

/// The number of the next row of a table that nothing is removed from.
fn next_number(len: usize) -> i64 {
    i64::try_from(len).map_or(i64::MAX, |n| n.saturating_add(1))
}

fn no_job(id: JobId) -> Error {
    Error::not_found(format!("there is no job {id}"))
}

/// The first `limit` of them.
fn first<T>(all: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    all.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}
