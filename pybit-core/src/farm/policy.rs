//! The numbers and rules that a farm runs by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::{LeaseTimes, Limits};

/// Times, caps, limits and what is taken; every field has a default fit for production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// A job whose client is silent this long is given to another, in milliseconds.
    pub lease_ttl_ms: u64,
    /// How often clients report, in milliseconds; at most a third of the time to live.
    pub heartbeat_ms: u64,
    /// Infrastructure failures that a job survives.
    pub infra_retries: u32,
    /// The pause after a job's first infrastructure failure, in milliseconds; three times as long after each further one.
    pub infra_backoff_ms: u64,
    /// The longest such pause, in milliseconds.
    pub infra_backoff_cap_ms: u64,
    /// How long a client that lost, failed or refused a job is passed over for it, in milliseconds.
    pub avoid_ms: u64,
    /// The pause after a job's first wait for build dependencies, in milliseconds; twice as long after each further one.
    /// A publication that satisfies it ends the pause at once.
    pub dep_wait_ms: u64,
    /// The longest such pause, in milliseconds.
    pub dep_wait_cap_ms: u64,
    /// A job that waits for build dependencies this long fails, in milliseconds.
    pub dep_wait_expiry_ms: u64,
    /// The first quarantine of a client after three infrastructure failures in a row, in milliseconds; doubles.
    pub quarantine_ms: u64,
    /// The longest quarantine, in milliseconds.
    pub quarantine_cap_ms: u64,
    /// Clients that may be lost on a job before it counts as poison.
    pub poison_after: u32,
    /// A waiting route is hinted again this often, in milliseconds.
    pub rehint_ms: u64,
    /// Jobs that one submission may become.
    pub max_jobs: u32,
    /// Jobs that one request may become without its sender saying that so many are meant.
    pub confirm_jobs: u32,
    /// Submissions that one batch may hold.
    pub batch_lines: u32,
    /// Whether `file:` sources, which lie on the build client's own machine, are taken. Where nothing is said the server says no if it
    /// listens on another address than loopback or has a proxy before it, and so does a build client that is not told
    /// `allow_file`.
    pub file_sources: Option<bool>,
    /// Whether a source that bears a name of the base distribution, and is not the distribution's own, is taken only from administrators and
    /// principals with a grant for the name. Default: yes.
    pub check_sources: bool,
    /// Seconds that a build may take.
    pub build_wall_secs: u64,
    /// Seconds that a build may say nothing.
    pub build_silent_secs: u64,
    /// Bytes of log that a build may write.
    pub log_bytes: u64,
    /// Bytes of all files of one attempt or one upload.
    pub files_bytes: u64,
    /// Files of one attempt or one upload.
    pub files_count: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease_ttl_ms: 20_000,
            heartbeat_ms: 5_000,
            infra_retries: 3,
            infra_backoff_ms: 60_000,
            infra_backoff_cap_ms: 3_600_000,
            avoid_ms: 60_000,
            dep_wait_ms: 900_000,
            dep_wait_cap_ms: 21_600_000,
            dep_wait_expiry_ms: 14 * 86_400_000,
            quarantine_ms: 10_000,
            quarantine_cap_ms: 3_600_000,
            poison_after: 3,
            rehint_ms: 15_000,
            max_jobs: 200,
            confirm_jobs: 500,
            batch_lines: 50_000,
            file_sources: None,
            check_sources: true,
            build_wall_secs: 8 * 3600,
            build_silent_secs: 3600,
            log_bytes: 64 << 20,
            files_bytes: 16 << 30,
            files_count: 10_000,
        }
    }
}

impl Policy {
    /// What clients are told of their leases.
    pub fn lease_times(&self) -> LeaseTimes {
        LeaseTimes { ttl_ms: self.lease_ttl_ms, heartbeat_ms: self.heartbeat_ms }
    }

    /// What clients are told of a build's bounds.
    pub fn limits(&self) -> Limits {
        Limits {
            wall_secs: self.build_wall_secs,
            silent_secs: self.build_silent_secs,
            log_bytes: self.log_bytes,
        }
    }

    /// The pause after the `nth` infrastructure failure of a job, counted from 1, varied by up to a fifth by `salt` so
    /// that jobs which failed together do not come back together.
    pub fn infra_backoff(&self, nth: u32, salt: i64) -> Duration {
        let grown =
            self.infra_backoff_ms.saturating_mul(3_u64.saturating_pow(nth.saturating_sub(1)));
        let capped = grown.min(self.infra_backoff_cap_ms);
        let spread = u64::try_from(salt.wrapping_mul(2_654_435_761).rem_euclid(401)).unwrap_or(200);
        Duration::from_millis(capped.saturating_mul(800 + spread) / 1000)
    }

    /// The pause after the `nth` wait for build dependencies, counted from 1.
    pub fn dep_wait(&self, nth: u32) -> Duration {
        doubled(self.dep_wait_ms, nth, self.dep_wait_cap_ms)
    }

    /// The quarantine after the `nth` infrastructure failure in a row; none before the third.
    pub fn quarantine(&self, nth: u32) -> Option<Duration> {
        nth.checked_sub(2)
            .filter(|n| *n > 0)
            .map(|n| doubled(self.quarantine_ms, n, self.quarantine_cap_ms))
    }
}

fn doubled(first_ms: u64, nth: u32, cap_ms: u64) -> Duration {
    let grown = first_ms.saturating_mul(2_u64.saturating_pow(nth.saturating_sub(1)));
    Duration::from_millis(grown.min(cap_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_cap_and_vary_by_a_fifth() {
        let policy = Policy::default();
        for nth in 1..60 {
            for salt in [-7, 0, 1, 99_999] {
                let pause = policy.infra_backoff(nth, salt).as_millis();
                let plain = 60_000_u128 * 3_u128.pow(nth.min(9) - 1);
                let plain = plain.min(3_600_000);
                assert!(
                    pause >= plain * 8 / 10 && pause <= plain * 12 / 10,
                    "{nth} {salt}: {pause}"
                );
            }
        }
        assert_eq!(policy.dep_wait(1).as_secs(), 900);
        assert_eq!(policy.dep_wait(90).as_secs(), 21_600);
        assert_eq!(
            (policy.quarantine(2), policy.quarantine(3)),
            (None, Some(Duration::from_secs(10)))
        );
    }
}
