//! The background of a farm: every server runs it, any number at once; each step is a compare-and-set or idempotent.

use std::time::{Duration, Instant};

use super::Farm;
use super::machine::Command;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{Job, JobId, JobStatus, Page};
use crate::storage::OutboxRow;
use crate::transport::Hint;
use crate::trial::{self, Mutation};

/// Rows of the outbox that are sent together.
const AT_ONCE: u32 = 200;

impl Farm {
    /// Wakes what waits in this process for whatever the storage says has changed, through this server or another. Runs
    /// until it is dropped.
    pub async fn listen(&self) {
        let mut changes = self.inner.storage.changes();
        let mut seen = *changes.borrow_and_update();
        while changes.changed().await.is_ok() {
            let now = *changes.borrow_and_update();
            if now.work != seen.work {
                self.announce_work();
            }
            if now.results != seen.results {
                self.announce_results();
            }
            seen = now;
        }
    }

    /// Sends the hints that wait in the outbox, marks each after the transport holds it, and wakes held claims. Returns
    /// how many were sent.
    pub async fn dispatch(&self) -> Result<usize> {
        let mut sent = 0;
        loop {
            let rows = self.inner.storage.outbox(AT_ONCE).await?;
            if rows.is_empty() {
                return Ok(sent);
            }
            let hint = |row: &OutboxRow| Hint::new(row.route.clone(), Some(row.job));
            let hints: Vec<Hint> = rows.iter().map(hint).collect();
            let ids: Vec<i64> = rows.iter().map(|r| r.id).collect();
            if trial::is_broken(Mutation::MarkBeforeConfirm) {
                self.inner.storage.mark_sent(&ids).await?;
            }
            trial::crash_point("dispatch_before_send");
            let published = self.inner.transport.publish_all(&hints).await;
            // Claims that this server holds need no transport.
            self.announce_work();
            published?;
            trial::crash_point("dispatch_after_send_before_mark");
            self.inner.storage.mark_sent(&ids).await?;
            trial::crash_point("dispatch_after_mark");
            sent += rows.len();
            // Whatever came meanwhile is announced by itself.
            if rows.len() < AT_ONCE as usize {
                return Ok(sent);
            }
        }
    }

    /// Hints every route that has a claimable job again: messages may be lost, and pauses end without an event.
    pub async fn rehint(&self) -> Result<usize> {
        let routes = self.inner.storage.due_routes(self.inner.clock.now()).await?;
        if routes.is_empty() {
            return Ok(0);
        }
        self.announce_work();
        let hints: Vec<Hint> = routes.iter().map(|r| Hint::new(r.clone(), None)).collect();
        self.inner.transport.publish_all(&hints).await?;
        Ok(routes.len())
    }

    /// Gives jobs of silent clients back. To be called every `interval`; leases are judged by this process's monotonic
    /// clock alone. Returns how many lapsed.
    pub async fn reap(&self, interval: Duration) -> Result<usize> {
        let leases = match self.inner.storage.leases().await {
            Ok(leases) => leases,
            Err(error) => {
                self.with_leases(super::lease::LeaseWatch::rearm);
                return Err(error);
            }
        };
        let ttl = Duration::from_millis(self.inner.policy.lease_ttl_ms);
        let (now, interval) = self.lease_time(interval);
        let lapsed = self.with_leases(|watch| watch.sweep(&leases, now, interval, ttl));
        let mut each = Each::default();
        for lease in &lapsed {
            let cause = format!("its client was silent for {} s", ttl.as_secs_f32());
            trial::crash_point("lapse_before_commit");
            let lapse = Command::Lapse { epoch: lease.epoch, cause };
            each.ended(self.apply(lease.job, &lapse).await.map(|_| true));
            trial::crash_point("lapse_after_commit");
        }
        each.told()
    }

    /// The time that leases are judged by, and how often: this process's monotonic clock.
    fn lease_time(&self, interval: Duration) -> (Instant, Duration) {
        static START: std::sync::OnceLock<(Instant, Timestamp)> = std::sync::OnceLock::new();
        let now = self.inner.clock.instant();
        if !trial::is_broken(Mutation::ExpireByWallClock) {
            return (now, interval);
        }
        let wall = self.inner.clock.now();
        let (start, then) = START.get_or_init(|| (now, wall));
        (*start + wall.since(*then), Duration::from_hours(100_000))
    }

    fn with_leases<T>(&self, f: impl FnOnce(&mut super::lease::LeaseWatch) -> T) -> T {
        let mut watch = self.inner.leases.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut watch)
    }

    /// Frees blocked jobs whose pause is over, fails those that have waited too long, and settles results that a killed
    /// server left `Uploaded` though nobody has to publish them. Returns how many changed.
    pub async fn sweep(&self) -> Result<usize> {
        let now = self.inner.clock.now();
        let expiry = Duration::from_millis(self.inner.policy.dep_wait_expiry_ms);
        let mut each = Each::default();
        let blocked = self.all_blocked().await?;
        let filter =
            crate::model::JobFilter { status: Some(JobStatus::Done), ..Default::default() };
        let newest = if blocked.is_empty() {
            Vec::new()
        } else {
            let done = self.inner.storage.jobs(&filter, &Page::first(200)).await?;
            self.still_published(done).await?
        };
        for job in blocked {
            match self.free_forgotten(&job, &newest).await {
                Ok(false) => {}
                freed => {
                    each.ended(freed);
                    continue;
                }
            }
            let command = if now.since(job.created_at) > expiry {
                Command::Expire
            } else if !job.is_paused(now) {
                Command::Unblock("tried again after a pause".to_owned())
            } else {
                continue;
            };
            each.ended(self.apply(job.id, &command).await.map(|_| true));
        }
        for job in self.inner.storage.unpublishable(200).await? {
            each.ended(self.settle(job).await.map(|settled| settled.status == JobStatus::Done));
        }
        each.told()
    }

    /// Those of these jobs whose packages no removal took away: a blocked job would be woken for nothing.
    async fn still_published(&self, mut done: Vec<Job>) -> Result<Vec<Job>> {
        let ids: Vec<JobId> = done.iter().map(|job| job.id).collect();
        let withdrawn = self.inner.storage.withdrawn(&ids).await?;
        done.retain(|job| !withdrawn.contains(&job.id));
        Ok(done)
    }
}

/// What became of many jobs: one that cannot be changed keeps no other waiting.
#[derive(Debug, Default)]
struct Each {
    changed: usize,
    first_failure: Option<Error>,
}

impl Each {
    fn ended(&mut self, ended: Result<bool>) {
        match ended {
            Ok(changed) => self.changed += usize::from(changed),
            Err(error) => drop(self.first_failure.get_or_insert(error)),
        }
    }

    /// How many were changed, or the first failure after all were tried.
    fn told(self) -> Result<usize> {
        self.first_failure.map_or(Ok(self.changed), Err)
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::clock::{ManualClock, Timestamp};
    use crate::conformance::support::{
        Store, apply, ending, planned, record, submit_one, take, target, within,
    };
    use crate::faults::{Faults, Faulty};
    use crate::memory::{MemoryStorage, MemoryTransport};
    use crate::model::{JobStatus, Outcome};
    use crate::{Farm, Policy};

    #[tokio::test]
    async fn a_hint_that_the_transport_does_not_take_is_sent_later() {
        let storage: Store = Arc::new(MemoryStorage::default());
        let faults = Faults { refused: 900, ..Faults::default() };
        let transport = Faulty::new(Arc::new(MemoryTransport::default()), faults);
        let farm = Farm::new(Arc::clone(&storage), Arc::new(transport), []);
        submit_one(&storage, planned("hello", "1")).await;
        let mut refusals = 0;
        while farm.dispatch().await.is_err() {
            refusals += 1;
            assert_eq!(storage.outbox(9).await.unwrap().len(), 1, "it is still to be sent");
        }
        assert!(refusals > 0, "the seed refuses at least once");
        assert!(storage.outbox(9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_jump_of_the_wall_clock_takes_no_lease() {
        let storage: Store = Arc::new(MemoryStorage::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
        let shared = Arc::clone(&clock) as Arc<dyn crate::clock::Clock>;
        let transport = Arc::new(MemoryTransport::default());
        let farm =
            Farm::with_policy(Arc::clone(&storage), transport, [], shared, Policy::default());
        submit_one(&storage, planned("hello", "1")).await;
        take(&storage, "box", target("amd64")).await;
        let tick = Duration::from_secs(2);
        for second in 0..8 {
            assert_eq!(farm.reap(tick).await.unwrap(), 0, "tick {second}");
            clock.jump_wall(3_600_000_000 * if second % 2 == 0 { 1 } else { -2 });
            clock.advance(tick);
        }
        for _ in 0..2 {
            clock.advance(tick);
            farm.reap(tick).await.unwrap();
        }
        assert!(storage.leases().await.unwrap().is_empty(), "its own clock alone counts");
    }

    #[tokio::test]
    async fn a_server_wakes_its_waiters_for_what_another_changed() {
        let storage: Store = Arc::new(MemoryStorage::default());
        let farm = Farm::new(Arc::clone(&storage), Arc::new(MemoryTransport::default()), []);
        let (mut work, mut results) = (farm.work(), farm.results());
        let mut unsent = farm.unsent();
        let listening = tokio::spawn({
            let farm = farm.clone();
            async move { farm.listen().await }
        });
        tokio::task::yield_now().await;
        submit_one(&storage, planned("hello", "1")).await;
        within("the work", work.changed()).await.unwrap();
        let job = take(&storage, "box", target("amd64")).await;
        apply(&storage, ending(&job, JobStatus::Uploaded, Outcome::Succeeded)).await;
        within("the result", results.changed()).await.unwrap();
        assert!(!unsent.has_changed().unwrap(), "the other server sends its own hints");
        farm.record(&record(vec![planned("other", "1")])).await.unwrap();
        within("its own hint", unsent.changed()).await.unwrap();
        listening.abort();
    }
}
