//! Wakes whoever follows a log that grows on this server; what grows on another one is found by asking the storage.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pybit_core::model::{JobId, StreamId};
use tokio::sync::watch;

/// Pieces of a log after which its small ones are joined.
const MERGE_AFTER: u32 = 64;
/// Logs whose pieces are counted; one that is forgotten is joined later.
const MOST_COUNTED: usize = 10_000;

/// Who follows which job, and how many pieces a log got. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogHub(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    followed: HashMap<JobId, watch::Sender<()>>,
    appends: HashMap<StreamId, u32>,
}

impl LogHub {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever a log of the job may have grown or ended.
    pub(crate) fn follow(&self, job: JobId) -> watch::Receiver<()> {
        let mut inner = self.inner();
        inner.followed.retain(|_, sender| sender.receiver_count() > 0);
        inner.followed.entry(job).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// A log of the job has grown, or one of its attempts has ended.
    pub(crate) fn wake(&self, job: JobId) {
        if let Some(sender) = self.inner().followed.get(&job) {
            sender.send_replace(());
        }
    }

    /// Counts a piece; whether it is time to join the small ones.
    pub(crate) fn is_merge_due(&self, log: StreamId) -> bool {
        let mut inner = self.inner();
        if inner.appends.len() >= MOST_COUNTED {
            inner.appends.clear();
        }
        let count = inner.appends.entry(log).or_default();
        *count = (*count + 1) % MERGE_AFTER;
        *count == 0
    }

    /// The log grows no more.
    pub(crate) fn forget(&self, log: StreamId) {
        self.inner().appends.remove(&log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_is_woken_by_its_own_job_alone() {
        let hub = LogHub::default();
        let (mine, other) = (hub.follow(JobId(1)), hub.follow(JobId(2)));
        hub.wake(JobId(1));
        assert!(mine.has_changed().unwrap() && !other.has_changed().unwrap());
    }

    #[test]
    fn jobs_that_nobody_follows_any_more_are_forgotten() {
        let hub = LogHub::default();
        drop(hub.follow(JobId(1)));
        let _other = hub.follow(JobId(2));
        assert_eq!(hub.inner().followed.len(), 1);
    }

    #[test]
    fn a_merge_is_due_once_in_so_many_pieces() {
        let hub = LogHub::default();
        let due = (0..200).filter(|_| hub.is_merge_due(StreamId(1))).count();
        assert_eq!(due, 3);
    }
}
