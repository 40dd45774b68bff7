//! Leases without clocks: a lease lapses when its epoch did not move for one time to live on this process's own
//! monotonic clock. No wall clock is compared with another, so a clock jump takes no job from anybody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::JobId;
use crate::storage::Lease;
use crate::trial::{self, Mutation};

/// What one server has seen of the leases.
#[derive(Debug, Default)]
pub struct LeaseWatch {
    seen: HashMap<JobId, (i64, Instant)>,
    last_sweep: Option<Instant>,
}

impl LeaseWatch {
    /// Forgets everything: every lease gets a full time to live again. Called at start-up, after the database was away,
    /// and by [`sweep`](Self::sweep) itself after a pause of this process.
    pub fn rearm(&mut self) {
        if trial::is_broken(Mutation::NoRearm) {
            return;
        }
        self.seen.clear();
    }

    /// Takes the leases as they are and returns those that have stood still for `ttl`. Meant to be called every
    /// `interval`; when it was called much later than that, this process itself was paused and all leases are re-armed.
    pub fn sweep(
        &mut self,
        leases: &[Lease],
        now: Instant,
        interval: Duration,
        ttl: Duration,
    ) -> Vec<Lease> {
        let paused = self.last_sweep.is_some_and(|last| {
            now.duration_since(last) > interval * 2 + Duration::from_millis(200)
        });
        if paused {
            self.rearm();
        }
        let last = self.last_sweep.replace(now);
        let unknown = match now.checked_sub(ttl) {
            Some(long_ago) if last.is_none() && trial::is_broken(Mutation::NoRearm) => long_ago,
            // A heartbeat that bears the time at which it came, by a clock that has jumped since.
            _ if trial::is_broken(Mutation::ExpireByWallClock) => last.unwrap_or(now),
            _ => now,
        };
        let mut next = HashMap::with_capacity(leases.len());
        let mut lapsed = Vec::new();
        for lease in leases {
            let since = match self.seen.get(&lease.job) {
                Some((epoch, since)) if *epoch == lease.epoch => *since,
                _ => unknown,
            };
            if now.duration_since(since) >= ttl {
                lapsed.push(*lease);
            }
            next.insert(lease.job, (lease.epoch, since));
        }
        self.seen = next;
        lapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(4);
    const TICK: Duration = Duration::from_secs(1);

    fn lease(epoch: i64) -> Vec<Lease> {
        vec![Lease { job: JobId(1), epoch }]
    }

    #[test]
    fn a_lease_that_stands_still_lapses_after_one_time_to_live() {
        let (mut watch, start) = (LeaseWatch::default(), Instant::now());
        for second in 0..4 {
            assert!(watch.sweep(&lease(7), start + TICK * second, TICK, TTL).is_empty());
        }
        assert_eq!(watch.sweep(&lease(7), start + TICK * 4, TICK, TTL), lease(7));
    }

    #[test]
    fn a_heartbeat_gives_a_full_time_to_live_again() {
        let (mut watch, start) = (LeaseWatch::default(), Instant::now());
        for second in 0..20 {
            let moved = i64::from(second / 3);
            assert!(
                watch.sweep(&lease(moved), start + TICK * second, TICK, TTL).is_empty(),
                "second {second}"
            );
        }
    }

    #[test]
    fn a_pause_of_this_process_takes_no_lease() {
        let (mut watch, start) = (LeaseWatch::default(), Instant::now());
        assert!(watch.sweep(&lease(1), start, TICK, TTL).is_empty());
        let woken = start + Duration::from_hours(1);
        assert!(watch.sweep(&lease(1), woken, TICK, TTL).is_empty());
        assert!(watch.sweep(&lease(1), woken + TICK, TICK, TTL).is_empty());
    }
}
