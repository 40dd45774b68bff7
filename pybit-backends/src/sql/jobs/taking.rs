//! Jobs that a transaction of this process is about to give to a client. Another one that runs beside it chooses among the
//! rest: both would find the same best jobs, and one of them would have worked for nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pybit_core::model::JobId;

/// All that are being taken. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::sql) struct Taking(Arc<Mutex<BTreeSet<JobId>>>);

impl Taking {
    fn all(&self) -> MutexGuard<'_, BTreeSet<JobId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are being taken now.
    pub(super) fn now(&self) -> BTreeSet<JobId> {
        self.all().clone()
    }

    /// Takes what is chosen in the knowledge of what others take, until the answer is dropped.
    pub(super) fn take(&self, choose: impl FnOnce(&BTreeSet<JobId>) -> BTreeSet<JobId>) -> Taken {
        let mut all = self.all();
        let jobs = choose(&all);
        all.extend(&jobs);
        Taken { taking: self.clone(), jobs }
    }
}

/// Jobs of one transaction.
#[derive(Debug)]
pub(super) struct Taken {
    taking: Taking,
    jobs: BTreeSet<JobId>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.taking.all().retain(|id| !self.jobs.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_takes_the_other_does_not_choose_until_it_is_over() {
        let taking = Taking::default();
        let first = |among: &BTreeSet<JobId>| {
            (1..10).map(JobId).find(|id| !among.contains(id)).into_iter().collect()
        };
        let (one, two) = (taking.take(first), taking.take(first));
        assert_eq!(taking.now(), BTreeSet::from([JobId(1), JobId(2)]));
        drop(one);
        assert_eq!(taking.now(), BTreeSet::from([JobId(2)]));
        let three = taking.take(first);
        assert_eq!(three.jobs, BTreeSet::from([JobId(1)]));
        drop((two, three));
        assert!(taking.now().is_empty());
    }
}
