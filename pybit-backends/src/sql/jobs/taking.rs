//! What a transaction of this process is about to give to a client. Another one that runs beside it chooses among the rest:
//! both would find the same best jobs, and one of them would have worked for nothing. A claim that is asked again meanwhile
//! waits for what becomes of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pybit_core::model::{ClientName, JobId};
use pybit_core::storage::Claim;
use tokio::sync::Notify;

/// Jobs, and the claims that they are for.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    pub(super) jobs: BTreeSet<JobId>,
    claims: BTreeSet<(ClientName, String)>,
}

fn key(claim: &Claim) -> (ClientName, String) {
    (claim.client.clone(), claim.claim_id.clone())
}

impl Pairs {
    pub(super) fn add(&mut self, job: JobId, claim: &Claim) {
        self.jobs.insert(job);
        self.claims.insert(key(claim));
    }

    pub(super) fn has(&self, claim: &Claim) -> bool {
        self.claims.contains(&key(claim))
    }
}

/// All that are being taken. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::sql) struct Taking(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    all: Mutex<Pairs>,
    ended: Notify,
}

impl Taking {
    fn all(&self) -> MutexGuard<'_, Pairs> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are being taken now.
    pub(super) fn now(&self) -> Pairs {
        self.all().clone()
    }

    /// Takes what is chosen in the knowledge of what others take, until the answer is dropped.
    pub(super) fn take(&self, choose: impl FnOnce(&Pairs) -> Pairs) -> Taken {
        let mut all = self.all();
        let chosen = choose(&all);
        all.jobs.extend(&chosen.jobs);
        all.claims.extend(chosen.claims.iter().cloned());
        Taken { taking: self.clone(), chosen }
    }

    /// Waits until nothing is being taken for this claim.
    pub(super) async fn ended(&self, claim: &Claim) {
        loop {
            let ended = self.0.ended.notified();
            if !self.all().has(claim) {
                return;
            }
            ended.await;
        }
    }
}

/// What one transaction takes.
#[derive(Debug)]
pub(super) struct Taken {
    taking: Taking,
    chosen: Pairs,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut all = self.taking.all();
        all.jobs.retain(|id| !self.chosen.jobs.contains(id));
        all.claims.retain(|claim| !self.chosen.claims.contains(claim));
        drop(all);
        self.taking.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use pybit_core::conformance::support::claim;

    use super::*;

    #[test]
    fn what_one_takes_the_other_does_not_choose_until_it_is_over() {
        let taking = Taking::default();
        let first = |among: &Pairs| {
            let jobs = (1..10).map(JobId).find(|id| !among.jobs.contains(id)).into_iter().collect();
            Pairs { jobs, ..Pairs::default() }
        };
        let (one, two) = (taking.take(first), taking.take(first));
        assert_eq!(taking.now().jobs, BTreeSet::from([JobId(1), JobId(2)]));
        drop(one);
        assert_eq!(taking.now().jobs, BTreeSet::from([JobId(2)]));
        let three = taking.take(first);
        assert_eq!(three.chosen.jobs, BTreeSet::from([JobId(1)]));
        drop((two, three));
        assert!(taking.now().jobs.is_empty());
    }

    #[tokio::test]
    async fn a_claim_that_is_asked_again_waits_for_what_becomes_of_it() {
        let taking = Taking::default();
        let (one, other) = (claim("c", &[]), claim("c", &[]));
        let taken = taking.take(|_| {
            let mut pairs = Pairs::default();
            pairs.add(JobId(1), &one);
            pairs
        });
        taking.ended(&other).await;
        let again = taking.ended(&one);
        tokio::pin!(again);
        assert!(futures_util::poll!(again.as_mut()).is_pending());
        drop(taken);
        again.await;
    }
}
