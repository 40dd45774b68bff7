//! A job and its past, as of one moment.

use super::Farm;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Attempt, Event, Job, JobId};

/// The most times that one reading begins again because the job changed meanwhile.
const READINGS: usize = 20;

/// A job with its attempts and status changes, all as of one moment.
#[derive(Debug, Clone)]
pub struct JobHistory {
    /// The job.
    pub job: Job,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its status changes, oldest first; the last is numbered by the job's `row_version`.
    pub events: Vec<Event>,
}

impl Farm {
    /// The job with its past, or `NotFound`.
    ///
    /// The three readings belong together: a change between them would show a job that still builds beside the end of
    /// its attempt. Every change adds an event with the new `row_version` ([`Jobs::events`](crate::storage::JobStore::events)),
    /// so the events, which are read last, tell whether there was one.
    pub async fn history(&self, id: JobId) -> Result<JobHistory> {
        let storage = &self.inner.storage;
        for _ in 0..READINGS {
            let job = self.job(id).await?;
            let attempts = storage.attempts(id).await?;
            let events = storage.events(id).await?;
            if events.last().is_some_and(|last| last.number == job.row_version) {
                return Ok(JobHistory { job, attempts, events });
            }
        }
        let message = format!("job {id} changes faster than it can be read; ask again");
        Err(Error::new(ErrorKind::Unavailable, message))
    }
}
