//! What a server does by itself. Any number of servers do it at once: each step is a compare-and-set or idempotent.

use std::time::Duration;

use pybit_core::Result;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::app::AppState;
use crate::{dput, streams};

/// The outbox is looked at this often even when nothing was announced here: another server may have filled it and died.
const DISPATCH: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(5);
const ARCHIVE: Duration = Duration::from_secs(5);
/// The indices are looked at this often; one is fetched when it is due.
const NAMES: Duration = Duration::from_mins(1);
const CLEAN: Duration = Duration::from_hours(1);
const CLEAN_ALL: Duration = Duration::from_hours(24);
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
    tasks.spawn(names(state.clone()));
    tasks.spawn(every(state.clone(), "clean", CLEAN, |s| async move {
        streams::clean_pieces(&s).await
    }));
    tasks.spawn(every(state.clone(), "expire", CLEAN, |s| async move { dput::expire(&s).await }));
    tasks.spawn(every(state.clone(), "clean all", CLEAN_ALL, |s| async move {
        streams::clean_whole(&s).await
    }));
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

/// Keeps the indices of the base distributions' names, from the start on.
async fn names(state: AppState) {
    if state.farm.base().is_none() {
        return;
    }
    // A fetch takes minutes; it is given up where the server stops.
    let first = state.farm.refresh_base();
    if let Some(Err(error)) = state.stopping.run_until_cancelled(first).await {
        tracing::warn!(?error, "the distribution's names are looked at again in a minute");
    }
    let stopping = state.stopping.clone();
    let keep = every(state, "names", NAMES, |s| async move { s.farm.refresh_base().await });
    stopping.run_until_cancelled(keep).await;
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

#[cfg(test)]
mod tests {
    use super::*;

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
