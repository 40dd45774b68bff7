//! Sends a log to the server while it grows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pybit_core::ErrorKind;
use pybit_core::model::JobId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{Api, ApiError};
use crate::backoff::Backoff;
use crate::spool::Spool;

/// Bytes that one append carries at most: what the server takes.
const MOST: u64 = 1024 * 1024;
/// Bytes that are sent at once.
const BATCH: u64 = 256 * 1024;
/// Fewer bytes wait this long for more.
const LINGER: Duration = Duration::from_millis(150);

/// How far a log is durable at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shipped {
    /// This far; more follows.
    Upto(u64),
    /// The server takes no more of it: the code and the sentence of its refusal.
    Refused(String, String),
}

/// Sends one log in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Shipper {
    state: watch::Receiver<Shipped>,
    task: JoinHandle<()>,
}

impl Shipper {
    /// Begins to send. While the server is away the log grows on disk, and goes on at the offset that the server expects.
    pub(crate) fn start(
        api: &Api,
        (job, attempt): (JobId, u32),
        spool: &Arc<Spool>,
        waits: Backoff,
    ) -> Self {
        let (state, receiver) = watch::channel(Shipped::Upto(0));
        let (api, spool) = (api.clone(), Arc::clone(spool));
        let sender = Sender { api, job, attempt, spool, offset: 0, waits, state };
        Self { state: receiver, task: tokio::spawn(sender.run()) }
    }

    /// Waits until `length` bytes are durable at the server.
    ///
    /// Fails with the server's refusal as `(code, message)` where it takes no more.
    pub(crate) async fn durable(&self, length: u64) -> Result<(), (String, String)> {
        let mut state = self.state.clone();
        let there = state
            .wait_for(|s| match s {
                Shipped::Upto(n) => *n >= length,
                Shipped::Refused(..) => true,
            })
            .await;
        match there.as_deref() {
            Ok(Shipped::Upto(_)) => Ok(()),
            Ok(Shipped::Refused(code, message)) => Err((code.clone(), message.clone())),
            Err(_) => Err(("internal".to_owned(), "the log is not sent any more".to_owned())),
        }
    }

    /// Returns when the server takes no more of the log: its refusal as `(code, message)`.
    pub(crate) async fn refused(&self) -> (String, String) {
        match self.durable(u64::MAX).await {
            Err(refusal) => refusal,
            Ok(()) => std::future::pending().await,
        }
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sender {
    api: Api,
    job: JobId,
    attempt: u32,
    spool: Arc<Spool>,
    offset: u64,
    waits: Backoff,
    state: watch::Sender<Shipped>,
}

impl Sender {
    async fn run(mut self) {
        let mut grown = self.spool.watch();
        loop {
            if !self.wait_for_more(&mut grown).await {
                return;
            }
            let before = self.offset;
            match self.send_some().await {
                Ok(()) if self.offset > before => self.waits.reset(),
                Ok(()) => self.waits.wait().await,
                Err(e) if e.is_transient() || e.kind == ErrorKind::Unauthenticated => {
                    tracing::debug!(job = %self.job, offset = self.offset, "the log waits: {e}");
                    self.waits.wait().await;
                }
                Err(e) => {
                    tracing::warn!(job = %self.job, attempt = self.attempt, "the server takes no more log: {e}");
                    self.state.send_replace(Shipped::Refused(e.code, e.message));
                    return;
                }
            }
        }
    }

    /// Waits until there is enough to send; `false` when the log is gone.
    async fn wait_for_more(&self, grown: &mut watch::Receiver<u64>) -> bool {
        let offset = self.offset;
        if grown.wait_for(|n| *n > offset).await.is_err() {
            return false;
        }
        let batch = grown.wait_for(|n| *n >= offset + BATCH);
        // Whether the time is over or there is a whole batch: what there is is sent.
        let _ = tokio::time::timeout(LINGER, batch).await;
        true
    }

    async fn send_some(&mut self) -> Result<(), ApiError> {
        let length = self.spool.length();
        let read = self.spool.read(self.offset, MOST.min(length - self.offset)).await;
        let bytes: Bytes = read.map_err(|e| ApiError::new(e.kind(), e.message()))?.into();
        match self.api.append_log(self.job, self.attempt, self.offset, bytes).await {
            Ok(durable) => self.reached(durable.min(length)),
            Err(e) if e.is("offset_mismatch") && e.expected.is_some_and(|n| n <= length) => {
                self.reached(e.expected.unwrap_or_default());
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn reached(&mut self, offset: u64) {
        self.offset = offset;
        self.state.send_replace(Shipped::Upto(offset));
    }
}

#[cfg(test)]
#[path = "shipper_tests.rs"]
mod tests;
