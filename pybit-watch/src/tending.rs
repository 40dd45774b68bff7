//! Renewal of keys and of the validity of indices, in time.

use std::sync::Arc;
use std::time::Duration;

use pybit_core::Error;
use pybit_core::model::{Health, RepositoryName};
use pybit_core::publish::Publisher;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// The interval, unless it is configured.
pub(crate) const INTERVAL: Duration = Duration::from_hours(1);
/// The interval after a renewal that failed.
const AFTER_TROUBLE: Duration = Duration::from_mins(5);

/// Tends one repository.
#[derive(Debug)]
pub(crate) struct Tending {
    pub(crate) name: RepositoryName,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) interval: Duration,
    /// Asks for a look before the interval is over.
    pub(crate) wake: Arc<Notify>,
    /// The health that was found last.
    pub(crate) health: watch::Sender<Health>,
}

impl Tending {
    /// Works until `stop`: at once, and again after each interval or when it is woken.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let health = self.look().await;
            let pause = match &health.trouble {
                None => self.interval,
                Some(trouble) => {
                    tracing::warn!(repository = %self.name, %trouble, "not renewed; trying again");
                    self.interval.min(AFTER_TROUBLE)
                }
            };
            self.health.send_if_modified(|known| {
                let changed = *known != health;
                *known = health;
                changed
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn look(&self) -> Health {
        match self.publisher.tend().await {
            Ok(health) => health,
            Err(error) => Health { trouble: Some(told(&error)), ..self.health.borrow().clone() },
        }
    }
}

/// An error as the farm is told: it is shown to people, and of limited length.
pub(crate) fn told(error: &Error) -> String {
    let plain = error.message().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(Health::MAX_TROUBLE).collect()
}
