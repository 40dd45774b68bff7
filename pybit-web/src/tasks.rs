//! What a server does by itself. Any number of servers do it at once: each step is a compare-and-set or idempotent.

use std::time::Duration;

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::app::AppState;
use crate::streams;

/// The outbox is looked at this often even when nothing was announced here: another server may have filled it and died.
const DISPATCH: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(5);
const ARCHIVE: Duration = Duration::from_secs(5);
const CLEAN: Duration = Duration::from_hours(1);
/// Objects that nothing names are kept this long: a server may be about to name them.
const ORPHANED: Duration = Duration::from_hours(24);
/// The longest pause after failures, shorter than a lease's usual time to live: a database that is back is to be used soon.
/// And that of hints: a broker that was restarted is to get them soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_WITHOUT_HINTS: Duration = Duration::from_secs(5);

/// Starts every loop; they end when the server stops.
pub(crate) fn start(state: &AppState, tasks: &TaskTracker) {
    let policy = state.farm.policy();
    let rehint = Duration::from_millis(policy.rehint_ms.max(10));
    let reap = Duration::from_millis((policy.lease_ttl_ms / 8).max(10));
    tasks.spawn(listen(state.clone()));
    tasks.spawn(dispatch(state.clone()));
    tasks.spawn(every(state.clone(), "rehint", rehint, |s| async move { s.farm.rehint().await }));
    tasks.spawn(every(
        state.clone(),
        "reap",
        reap,
        move |s| async move { s.farm.reap(reap).await },
    ));
    tasks.spawn(every(state.clone(), "sweep", SWEEP, |s| async move { s.farm.sweep().await }));
    tasks.spawn(every(state.clone(), "archive", ARCHIVE, |s| async move {
        streams::archive_ended(&s).await
    }));
    tasks.spawn(every(state.clone(), "clean", CLEAN, |s| async move { clean(&s).await }));
}

/// Wakes held requests when something changed, on whichever server.
async fn listen(state: AppState) {
    tokio::select! {
        () = state.stopping.cancelled() => {}
        () = state.farm.listen() => {}
    }
}

/// Sends hints as soon as there are any.
async fn dispatch(state: AppState) {
    let mut unsent = state.farm.unsent();
    let mut trouble = Trouble { longest: LONGEST_WITHOUT_HINTS, ..Trouble::new("dispatch") };
    // A transport that keeps nothing has forgotten what was hinted before this server's start.
    if let Err(error) = state.farm.rehint().await {
        tracing::warn!(?error, "waiting jobs are hinted again in a while");
    }
    while !state.stopping.is_cancelled() {
        unsent.borrow_and_update();
        let pause = trouble.after(state.farm.dispatch().await.map(|_| ()), DISPATCH);
        tokio::select! {
            () = state.stopping.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            Ok(()) = unsent.changed(), if trouble.is_over() => {}
        }
    }
}

/// Runs a step at a fixed rate; a failed one is tried again after a growing pause.
async fn every<F, R>(state: AppState, what: &'static str, interval: Duration, step: F)
where
    F: Fn(AppState) -> R,
    R: Future<Output = Result<usize>>,
{
    let mut trouble = Trouble::new(what);
    let mut next = Instant::now() + interval;
    loop {
        tokio::select! {
            () = state.stopping.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        let pause = trouble.after(step(state.clone()).await.map(|_| ()), interval);
        // A step that took longer than its interval is not made up for.
        next = Instant::now().max(next + pause);
    }
}

/// Remembers failures in a row, to pause longer and to log no line a second.
struct Trouble {
    what: &'static str,
    failures: u32,
    longest: Duration,
}

impl Trouble {
    fn new(what: &'static str) -> Self {
        Self { what, failures: 0, longest: LONGEST_PAUSE }
    }

    fn is_over(&self) -> bool {
        self.failures == 0
    }

    /// The pause after an outcome: the usual one after success.
    fn after(&mut self, outcome: Result<()>, usual: Duration) -> Duration {
        match outcome {
            Ok(()) => {
                if !self.is_over() {
                    tracing::info!(
                        task = self.what,
                        "works again after {} failures",
                        self.failures
                    );
                }
                self.failures = 0;
                usual
            }
            Err(error) => {
                self.failures += 1;
                let pause = (usual * 2_u32.saturating_pow(self.failures.min(10))).min(self.longest);
                let pause = pause.max(usual);
                tracing::warn!(task = self.what, ?error, ?pause, "a background step failed");
                pause
            }
        }
    }
}

/// Removes pieces that no stream names: a server was killed between the piece and its row.
async fn clean(state: &AppState) -> Result<usize> {
    let now = state.farm.clock().now();
    let day = i64::try_from(ORPHANED.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp::from_micros(now.as_micros().saturating_sub(day));
    let mut removed = 0;
    for object in state.blobs.older("parts", before).await? {
        if state.stopping.is_cancelled() {
            break;
        }
        if !is_named(state, &object).await? {
            state.blobs.discard(vec![object]).await;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether the stream in a piece's name still has that piece. What does not look like a piece is left alone.
async fn is_named(state: &AppState, object: &str) -> Result<bool> {
    let mut words = object.split('/').skip(1);
    let id = words.next().and_then(|w| w.parse().ok());
    let offset = words.next().and_then(|w| w.split('-').next()?.parse().ok());
    let (Some(id), Some(offset)) = (id, offset) else { return Ok(true) };
    let parts = state.farm.storage().parts(id, offset, 1).await?;
    Ok(parts.iter().any(|p| p.object == object))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use pybit_core::clock::{Clock, ManualClock, SystemClock};
    use pybit_core::memory::{MemoryStorage, MemoryTransport};
    use pybit_core::model::{FileSpec, StreamOwner};
    use pybit_core::settings::Settings;
    use pybit_core::{Farm, Policy};

    use super::*;
    use crate::blobs::Blobs;
    use crate::config::WebConfig;

    #[tokio::test]
    async fn pieces_that_nothing_names_go_after_a_day() {
        let now = SystemClock.now();
        let clock = Arc::new(ManualClock::at(now));
        let farm = Farm::with_policy(
            Arc::new(MemoryStorage::default()),
            Arc::new(MemoryTransport::default()),
            [],
            Arc::clone(&clock) as Arc<dyn Clock>,
            Policy::default(),
        );
        let blobs = Blobs::open(&Settings::url("memory:")).unwrap();
        let stopping = tokio_util::sync::CancellationToken::new();
        let state = AppState::new(farm, blobs, WebConfig::default(), stopping).unwrap();
        let file = FileSpec { name: "a".parse().unwrap(), size: 2, sha256: "0".repeat(64) };
        let storage = state.farm.storage();
        let upload = storage.new_upload("ann", &[file], now).await.unwrap();
        let stream = storage.streams(StreamOwner::Upload(upload.id)).await.unwrap().remove(0);
        let (id, stream) = (stream.id, stream);
        streams::append(&state, stream, 0, &Bytes::from_static(b"x")).await.unwrap();
        let stream = id;
        for orphan in [format!("parts/{stream}/0-lost"), "parts/999/0-lost".to_owned()] {
            state.blobs.put(&orphan, Bytes::from_static(b"y")).await.unwrap();
        }
        assert_eq!(clean(&state).await.unwrap(), 0, "they may yet be named");
        clock.advance(Duration::from_hours(25));
        assert_eq!(clean(&state).await.unwrap(), 2);
        assert_eq!(streams::read_some(&state, stream, 0, 9).await.unwrap(), "x");
    }

    #[test]
    fn failures_in_a_row_pause_longer_and_success_ends_them() {
        let mut trouble = Trouble::new("test");
        let fail = || Err(pybit_core::Error::internal("x"));
        let second = Duration::from_secs(1);
        let pauses: Vec<_> = (0..6).map(|_| trouble.after(fail(), second).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 10, 10, 10]);
        assert_eq!(trouble.after(Ok(()), second), second);
        assert!(trouble.is_over());
    }
}
