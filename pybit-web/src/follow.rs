//! A log as it grows, over server-sent events.
//!
//! Event `log`: id = the offset after the data, data = base64, because a log is bytes and may end inside a character.
//! Event `end`: the attempt has ended and all of its log was sent; data = the job's status. Closing the stream changes
//! nothing in the farm.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Stream, StreamExt, stream};
use poem::web::sse::{Event, SSE};
use poem::{IntoResponse, Response};
use pybit_core::farm::JobHistory;
use pybit_core::model::{Attempt, Job, JobId, JobStatus, Outcome, StreamId, StreamOwner};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::app::AppState;
use crate::error::ApiResult;
use crate::streams;

/// How long a follower waits before it asks the storage: another server may have taken the bytes.
const POLL: Duration = Duration::from_secs(1);
/// A quiet stream says something this often, so that nobody on the way takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Bytes of log in one event.
const CHUNK: u64 = 128 << 10;

/// Follows a log from `offset` on: of the named attempt, else of the newest, waiting for the first.
pub(crate) fn follow(
    state: &AppState,
    job: JobId,
    attempt: Option<u32>,
    offset: u64,
) -> ApiResult<Response> {
    let permit = std::sync::Arc::clone(&state.followers).try_acquire_owned().map_err(|_| {
        Error::new(ErrorKind::Busy, "too many logs are followed on this server; try again later")
    })?;
    let follower = Follower {
        state: state.clone(),
        job,
        attempt,
        log: None,
        offset,
        changes: state.logs.follow(job),
        over: false,
        _permit: permit,
    };
    let stopping = state.stopping.clone().cancelled_owned();
    let events = follower.events().take_until(stopping);
    Ok(SSE::new(events).keep_alive(KEEP_ALIVE).into_response())
}

struct Follower {
    state: AppState,
    job: JobId,
    attempt: Option<u32>,
    log: Option<StreamId>,
    offset: u64,
    changes: watch::Receiver<()>,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The events; a failure ends the stream without `end`, and the follower comes back with the offset it reached.
    fn events(self) -> impl Stream<Item = Event> + Send + 'static {
        stream::unfold(self, |mut follower| async move {
            if follower.over {
                return None;
            }
            match follower.next().await {
                Ok(event) => Some((event, follower)),
                Err(error) => {
                    tracing::warn!(?error, job = %follower.job, "following a log broke off");
                    None
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Event> {
        loop {
            self.changes.borrow_and_update();
            // What has ended before the bytes are read gets no more bytes after them.
            let JobHistory { job, attempts, .. } = self.state.farm.history(self.job).await?;
            let ended = self.has_ended(&job, &attempts);
            if let Some(event) = self.more().await? {
                return Ok(event);
            }
            if ended {
                self.over = true;
                let end = Event::message(job.status.as_str()).event_type("end");
                return Ok(end.id(self.offset.to_string()));
            }
            // Whether it was woken or has waited long enough makes no difference.
            let _ = tokio::time::timeout(POLL, self.changes.changed()).await;
        }
    }

    /// The next bytes, if there are any by now.
    async fn more(&mut self) -> Result<Option<Event>> {
        let Some(log) = self.find().await? else { return Ok(None) };
        let bytes = streams::read_some(&self.state, log, self.offset, CHUNK).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.offset += bytes.len() as u64;
        let event = Event::message(STANDARD.encode(&bytes)).event_type("log");
        Ok(Some(event.id(self.offset.to_string())))
    }

    async fn find(&mut self) -> Result<Option<StreamId>> {
        if let (None, Some(attempt)) = (self.log, self.attempt) {
            let owner = StreamOwner::Attempt { job: self.job, attempt };
            self.log = streams::log_of(&self.state, owner).await?.map(|s| s.id);
        }
        Ok(self.log)
    }

    /// Whether the attempt has ended for good. A lost one may go on while nobody else has claimed its job.
    fn has_ended(&mut self, job: &Job, attempts: &[Attempt]) -> bool {
        if self.attempt.is_none() {
            self.attempt = attempts.last().map(|a| a.number);
        }
        let mine = attempts.iter().find(|a| Some(a.number) == self.attempt);
        let may_go_on = job.status == JobStatus::Waiting && self.attempt == Some(job.attempt);
        match mine.map(|a| a.outcome) {
            None => job.status.is_terminal(),
            Some(None) => false,
            Some(Some(Outcome::Lost)) => !may_go_on,
            Some(Some(_)) => true,
        }
    }
}
