//! Rows that never change once they are there, for those who ask for them again at once: a job is mostly claimed just after
//! its submission was recorded, and the claim needs that submission and its upload's files.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long they are kept. A database that is put back to an older copy gives the same numbers to other rows; it is not put
/// back, and its servers connected to it again, within this.
const FRESH: Duration = Duration::from_secs(1);
/// The most that is kept of one kind.
const MOST: usize = 1000;

/// Facts by their keys. Clones share them.
#[derive(Debug)]
pub(super) struct Facts<K, V>(Arc<Mutex<Kept<K, V>>>);

#[derive(Debug)]
struct Kept<K, V> {
    facts: HashMap<K, V>,
    /// When each came, the oldest first.
    ages: VecDeque<(Instant, K)>,
    /// Counts what was forgotten, so that a fact that was asked for before is not kept after.
    voided: u64,
}

impl<K, V> Clone for Facts<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Facts<K, V> {
    fn default() -> Self {
        let kept = Kept { facts: HashMap::new(), ages: VecDeque::new(), voided: 0 };
        Self(Arc::new(Mutex::new(kept)))
    }
}

impl<K: Copy + Eq + Hash, V> Kept<K, V> {
    fn keep(&mut self, key: K, fact: V) {
        if self.facts.insert(key, fact).is_none() {
            self.ages.push_back((Instant::now(), key));
        }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Facts<K, V> {
    /// What is kept now, without what is too old or too much.
    fn kept(&self) -> MutexGuard<'_, Kept<K, V>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, key)) = kept.ages.front().copied()
            && (since.elapsed() >= FRESH || kept.ages.len() > MOST)
        {
            kept.ages.pop_front();
            kept.facts.remove(&key);
        }
        kept
    }

    pub(super) fn get(&self, key: K) -> Option<V> {
        self.kept().facts.get(&key).cloned()
    }

    /// The fact has become another.
    pub(super) fn forget(&self, key: K) {
        let mut kept = self.kept();
        kept.facts.remove(&key);
        kept.voided += 1;
    }

    /// How much was forgotten so far: to be asked before a fact that may become another, and given to
    /// [`keep_unless_voided`](Self::keep_unless_voided).
    pub(super) fn voided(&self) -> u64 {
        self.kept().voided
    }

    /// Keeps what was asked for when so much was forgotten, if nothing was since.
    pub(super) fn keep_unless_voided(&self, voided: u64, key: K, fact: V) {
        let mut kept = self.kept();
        if kept.voided == voided {
            kept.keep(key, fact);
        }
    }

    pub(super) fn keep(&self, key: K, fact: V) {
        self.kept().keep(key, fact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_kept_while_they_are_fresh() {
        let facts = Facts::default();
        facts.keep(1, "one");
        facts.keep(1, "one");
        assert_eq!((facts.get(1), facts.get(2)), (Some("one"), None));
        for (since, _) in &mut facts.kept().ages {
            *since = since.checked_sub(FRESH).unwrap();
        }
        assert_eq!(facts.get(1), None);
        facts.keep(1, "another one");
        assert_eq!(facts.get(1), Some("another one"));
    }

    #[test]
    fn a_fact_from_before_a_change_is_not_kept() {
        let facts = Facts::default();
        let voided = facts.voided();
        facts.forget(1);
        facts.keep_unless_voided(voided, 1, "old");
        assert_eq!(facts.get(1), None);
        facts.keep_unless_voided(facts.voided(), 1, "new");
        assert_eq!(facts.get(1), Some("new"));
    }

    #[test]
    fn the_oldest_make_room() {
        let facts = Facts::default();
        for n in 0..=MOST {
            facts.keep(n, n);
        }
        assert_eq!((facts.get(0), facts.get(1)), (None, Some(1)));
        let kept = facts.kept();
        assert_eq!((kept.facts.len(), kept.ages.len()), (MOST, MOST));
    }
}
