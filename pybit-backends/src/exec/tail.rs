//! A log that remembers its end.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::build::LogSink;

const KEPT: usize = 64 << 10;

/// Passes a log on, and keeps its last 64 KiB to see what went wrong.
#[derive(Debug)]
pub struct Tail<'a> {
    log: &'a dyn LogSink,
    end: Mutex<Vec<u8>>,
}

impl<'a> Tail<'a> {
    /// Passes on to `log`.
    pub fn new(log: &'a dyn LogSink) -> Self {
        Self { log, end: Mutex::default() }
    }

    /// What was last written.
    pub fn text(&self) -> String {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&end).into_owned()
    }
}

#[async_trait]
impl LogSink for Tail<'_> {
    async fn write(&self, bytes: &[u8]) -> Result<()> {
        {
            let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            end.extend_from_slice(bytes);
            let surplus = end.len().saturating_sub(KEPT);
            end.drain(..surplus);
        }
        self.log.write(bytes).await
    }
}
