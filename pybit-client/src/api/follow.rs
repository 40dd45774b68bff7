//! A log as it grows, over server-sent events, resumed where it broke off.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use pybit_core::ErrorKind;
use pybit_core::model::{Job, JobId, JobStatus, SubmissionId};
use pybit_core::protocol::SubmissionReply;
use reqwest::Method;
use reqwest::header::ACCEPT;

use super::people::given;
use super::sse::{Event, Parser};
use super::{Api, ApiError, ApiResult};
use crate::backoff::Retry;

/// How often a submission is asked for while nothing else says that something has changed.
const TICK: Duration = Duration::from_millis(500);

/// What comes while a log is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// More of the log.
    Log {
        /// The offset after these bytes: where following goes on.
        offset: u64,
        /// The bytes; they are not text and may end inside a character.
        bytes: Bytes,
    },
    /// The log is complete.
    End {
        /// The job's status.
        status: JobStatus,
    },
}

/// The events of a followed log; it ends after [`LogEvent::End`] or the first error.
pub type LogStream = Pin<Box<dyn Stream<Item = ApiResult<LogEvent>> + Send>>;

impl Api {
    /// Follows the log of a job from `offset` on until the job has ended; the newest attempt where none is named.
    ///
    /// A connection that breaks is made anew at the offset that was reached, as often as `retry` allows without progress.
    pub fn follow(&self, job: JobId, attempt: Option<u32>, offset: u64, retry: Retry) -> LogStream {
        let follower = Follower {
            api: self.clone(),
            job,
            attempt,
            offset,
            retry,
            connection: None,
            ready: VecDeque::new(),
            over: false,
        };
        Box::pin(stream::unfold(follower, |mut follower| async move {
            if follower.over {
                return None;
            }
            let event = follower.next().await;
            follower.over = matches!(event, Err(_) | Ok(LogEvent::End { .. }));
            Some((event, follower))
        }))
    }
}

impl Api {
    /// Waits until every job of the submission has ended, those that a source job leads to among them, and gives each piece
    /// of their logs to `log`: one attempt after the other, as far as they have come. For a log each at the same time, use
    /// [`follow`](Self::follow).
    pub async fn follow_submission(
        &self,
        id: SubmissionId,
        mut log: impl FnMut(&Job, &[u8]),
    ) -> ApiResult<SubmissionReply> {
        let mut shown = HashMap::new();
        loop {
            let reply = self.submission(id).await?;
            for job in reply.jobs.iter().filter(|j| j.attempt > 0) {
                let from = shown.entry((job.id, job.attempt)).or_insert(0);
                let mut events = self.follow(job.id, Some(job.attempt), *from, Retry::patient());
                while let Some(event) = events.next().await {
                    if let LogEvent::Log { offset, bytes } = event? {
                        *from = offset;
                        log(job, &bytes);
                    }
                }
            }
            if reply.jobs.iter().all(|j| j.status.is_terminal()) {
                return Ok(reply);
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

struct Follower {
    api: Api,
    job: JobId,
    attempt: Option<u32>,
    offset: u64,
    retry: Retry,
    connection: Option<(reqwest::Response, Parser)>,
    ready: VecDeque<Event>,
    over: bool,
}

impl Follower {
    async fn next(&mut self) -> ApiResult<LogEvent> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(event) = self.read(&event)? {
                    self.retry.progressed();
                    return Ok(event);
                }
            }
            if let Err(e) = self.receive().await {
                self.connection = None;
                if !e.is_transient() || !self.retry.again().await {
                    return Err(e);
                }
            }
        }
    }

    /// Receives some bytes, over a new connection where there is none.
    async fn receive(&mut self) -> ApiResult<()> {
        if self.connection.is_none() {
            self.connection = Some((self.connect().await?, Parser::default()));
        }
        let Some((answer, parser)) = &mut self.connection else { return Ok(()) };
        let chunk = answer.chunk().await.map_err(|e| self.api.no_answer(e))?;
        let Some(chunk) = chunk else {
            let message = format!("{} broke off the log", self.api.shown());
            return Err(ApiError::new(ErrorKind::Unavailable, message));
        };
        let events = parser.push(&chunk);
        self.ready.extend(events.map_err(|e| corrupt(&e.to_string()))?);
        Ok(())
    }

    async fn connect(&self) -> ApiResult<reqwest::Response> {
        let path = ["api", "v1", "jobs", &self.job.to_string(), "log", "stream"];
        let query = [
            ("attempt", self.attempt.map(|n| n.to_string())),
            ("offset", Some(self.offset.to_string())),
        ];
        let request = self
            .api
            .open(Method::GET, &path)
            .query(&given(query))
            .header(ACCEPT, "text/event-stream")
            .header("Last-Event-ID", self.offset.to_string());
        self.api.send(request).await
    }

    /// What an event says; `None` for one that says nothing new.
    fn read(&mut self, event: &Event) -> ApiResult<Option<LogEvent>> {
        match event.name.as_str() {
            "log" => self.read_log(event).map(Some),
            "end" => {
                let text = event.data.trim().trim_matches('"');
                let status = text.parse().map_err(|_| corrupt("its end names no status"))?;
                Ok(Some(LogEvent::End { status }))
            }
            _ => Ok(None),
        }
    }

    fn read_log(&mut self, event: &Event) -> ApiResult<LogEvent> {
        let bytes: Bytes =
            STANDARD.decode(&event.data).map_err(|_| corrupt("its data is not base64"))?.into();
        let offset: Option<u64> = event.id.as_deref().and_then(|id| id.parse().ok());
        let offset = offset.ok_or_else(|| corrupt("its id is not an offset"))?;
        if offset != self.offset + bytes.len() as u64 {
            return Err(corrupt("it does not go on where it broke off"));
        }
        self.offset = offset;
        Ok(LogEvent::Log { offset, bytes })
    }
}

fn corrupt(why: &str) -> ApiError {
    ApiError::new(
        ErrorKind::Corrupt,
        format!("the log that the server streams cannot be read: {why}"),
    )
}
