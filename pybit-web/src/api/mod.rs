//! The handlers, by noun; each thin, over the farm's use cases. `router.rs` says which route is which.

pub(crate) mod accounts;
pub(crate) mod batch;
pub(crate) mod builder;
pub(crate) mod catalogue;
pub(crate) mod clients;
pub(crate) mod dput;
pub(crate) mod farm;
pub(crate) mod files;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod names;
pub(crate) mod orders;
pub(crate) mod packages;
pub(crate) mod reports;
pub(crate) mod submissions;
pub(crate) mod tokens;
pub(crate) mod uploads;
pub(crate) mod vcshook;
pub(crate) mod watcher;
pub(crate) mod webhook;

use std::time::Duration;

use pybit_core::model::Stream;
use pybit_core::protocol::FileState;
use serde::{Deserialize, Deserializer};

use crate::app::AppState;

/// Where the next piece goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offset {
    offset: u64,
}

/// Where the next piece of an attempt goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptOffset {
    attempt: u32,
    offset: u64,
}

/// How far a declared file has arrived; `None` for a log.
pub(crate) fn file_state(stream: &Stream) -> Option<FileState> {
    let spec = pybit_core::model::FileSpec {
        name: stream.name.clone(),
        size: stream.size?,
        sha256: stream.sha256.clone()?,
    };
    Some(FileState { spec, length: stream.length, complete: stream.object.is_some() })
}

/// A page's length: 50 where left out, more than 200 is 200.
fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let limit = u64::deserialize(deserializer)?;
    if limit == 0 {
        return Err(serde::de::Error::custom("the limit must be at least 1"));
    }
    Ok(u32::try_from(limit.min(200)).unwrap_or(200))
}

fn usual_limit() -> u32 {
    50
}

/// Waits until something has changed, the time is over or the server stops; whether it is worth asking again.
async fn changed(
    state: &AppState,
    change: impl Future,
    deadline: tokio::time::Instant,
    poll: Duration,
) -> bool {
    let now = tokio::time::Instant::now();
    if now >= deadline {
        return false;
    }
    let longest = deadline.min(now + poll);
    tokio::select! {
        () = state.stopping.cancelled() => false,
        _ = tokio::time::timeout_at(longest, change) => true,
    }
}
