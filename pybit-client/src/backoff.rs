//! How long to wait before the same call is tried again.

use std::time::Duration;

/// Waits that double up to a longest one, each shortened at random by up to half, so that clients that lost the server
/// together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Starts at `base` and doubles up to `longest`.
    pub fn new(base: Duration, longest: Duration) -> Self {
        Self { base, longest, tries: 0 }
    }

    /// The waits towards a server that is away: half a second to half a minute.
    pub fn server() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    /// Tries since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The call succeeded: the next wait is short again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let full = self.base.saturating_mul(1 << self.tries.min(20)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        full.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Waits the next wait.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }
}

/// How often a call is tried again without any progress.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Failures in a row that end it; for ever where absent.
    pub tries: Option<u32>,
    /// The waits between.
    pub backoff: Backoff,
}

impl Retry {
    /// For people's tools: some ten seconds.
    pub fn patient() -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        Self { tries: Some(7), backoff }
    }

    /// Something arrived: the count starts again.
    pub fn progressed(&mut self) {
        self.backoff.reset();
    }

    /// Waits for the next try; `false` when there is none.
    pub async fn again(&mut self) -> bool {
        if self.tries.is_some_and(|n| self.backoff.tries() >= n) {
            return false;
        }
        self.backoff.wait().await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_short_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait().as_millis();
            assert!(wait >= full / 2 && wait <= full, "{wait} of {full}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
