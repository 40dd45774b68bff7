//! The jobs that this client has in hand, and the way to each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pybit_core::model::JobId;
use pybit_core::protocol::Held;
use tokio::sync::mpsc;

use crate::machine::{Event, State};

type Key = (JobId, u32);

/// Every job in hand, spooled results among them.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    jobs: Mutex<BTreeMap<Key, Entry>>,
}

#[derive(Debug)]
struct Entry {
    orders: mpsc::UnboundedSender<Event>,
    state: State,
}

impl Hands {
    /// Takes a job in hand until the grip is dropped.
    pub(crate) fn take(self: &Arc<Self>, job: JobId, attempt: u32, state: State) -> Grip {
        let (sender, orders) = mpsc::unbounded_channel();
        self.lock().insert((job, attempt), Entry { orders: sender, state });
        Grip { hands: Arc::clone(self), key: (job, attempt), orders }
    }

    /// Whether this attempt is in hand.
    pub(crate) fn has(&self, job: JobId, attempt: u32) -> bool {
        self.lock().contains_key(&(job, attempt))
    }

    /// What is in hand, for a heartbeat.
    pub(crate) fn held(&self) -> Vec<Held> {
        self.lock().keys().map(|&(job, attempt)| Held { job, attempt }).collect()
    }

    /// What is in hand and where it is, for the status page.
    pub(crate) fn states(&self) -> Vec<(Held, State)> {
        let jobs = self.lock();
        jobs.iter().map(|(&(job, attempt), e)| (Held { job, attempt }, e.state)).collect()
    }

    /// Tells a job what happened to it; one that is not in hand any more misses it.
    pub(crate) fn tell(&self, held: &Held, event: Event) {
        if let Some(entry) = self.lock().get(&(held.job, held.attempt)) {
            let _ = entry.orders.send(event);
        }
    }

    /// Tells every job.
    pub(crate) fn tell_all(&self, event: Event) {
        for entry in self.lock().values() {
            let _ = entry.orders.send(event);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One job in hand.
#[derive(Debug)]
pub(crate) struct Grip {
    hands: Arc<Hands>,
    key: Key,
    orders: mpsc::UnboundedReceiver<Event>,
}

impl Grip {
    /// What is told to the job next. Losing interest loses nothing.
    pub(crate) async fn order(&mut self) -> Event {
        match self.orders.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Notes where the job is.
    pub(crate) fn at(&self, state: State) {
        if let Some(entry) = self.hands.lock().get_mut(&self.key) {
            entry.state = state;
        }
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        self.hands.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_hears_what_it_is_told_and_is_forgotten_when_it_ends() {
        let hands = Arc::new(Hands::default());
        let mut grip = hands.take(JobId(1), 2, State::Fetching);
        let held = hands.held();
        assert_eq!(held, [Held { job: JobId(1), attempt: 2 }]);
        hands.tell(&Held { job: JobId(1), attempt: 1 }, Event::Gone);
        hands.tell(&held[0], Event::Cancel);
        assert_eq!(grip.order().await, Event::Cancel);
        drop(grip);
        hands.tell_all(Event::Shutdown);
        assert!(hands.held().is_empty());
    }
}
