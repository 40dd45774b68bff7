//! What a state remembers about itself besides its index: `memory.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::past::Pasts;
use super::{error, files};

/// A file that the index named once and names no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Retired {
    /// The first state without it.
    state: u64,
    /// When that was.
    at: Timestamp,
}

/// The most published sets that are remembered. A set is asked about until its publication is reported, and few are under way at once.
const MAX_SETS: usize = 1000;

/// A set that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Published {
    id: String,
    /// The first state that held it.
    state: u64,
}

/// Which files a state holds, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The `Date` of its `Release`, in seconds since 1970.
    pub(super) date: i64,
    /// Pool and `by-hash` files that its own index names, relative to the snapshot.
    pub(super) own: BTreeSet<String>,
    /// Files of older states that it still holds.
    pub(super) retired: BTreeMap<String, Retired>,
    /// Versions of packages that it had. A state from before this was written down has none.
    #[serde(default)]
    pub(super) past: Pasts,
    /// The sets that were published last, the oldest first.
    #[serde(default)]
    sets: Vec<Published>,
}

/// How long retired files are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// For so many states.
    pub(super) states: u64,
    /// And for at least so long.
    pub(super) time: Duration,
}

impl Memory {
    /// The memory of the state that follows: number `state`, made at `now`, whose index names `own`.
    pub(super) fn next(
        &self,
        own: BTreeSet<String>,
        state: u64,
        now: Timestamp,
        keep: Keep,
    ) -> Self {
        let fresh = Retired { state, at: now };
        let mut retired = self.retired.clone();
        retired.extend(self.own.difference(&own).map(|path| (path.clone(), fresh)));
        retired.retain(|path, r| {
            let young = state.saturating_sub(r.state) < keep.states || now.since(r.at) < keep.time;
            young && !own.contains(path)
        });
        // apt takes an index whose Date is older than the one it has for a replayed one.
        let date = (now.as_micros() / 1_000_000).max(self.date + 1);
        Self { date, own, retired, past: self.past.clone(), sets: self.sets.clone() }
    }

    /// Writes down that `state` is the first one that holds the set.
    pub(super) fn publish(&mut self, id: &str, state: u64) {
        self.sets.retain(|set| set.id != id);
        self.sets.push(Published { id: id.to_owned(), state });
        let excess = self.sets.len().saturating_sub(MAX_SETS);
        self.sets.drain(..excess);
    }

    /// The first state that held the set, if it was published.
    pub(super) fn first_with(&self, id: &str) -> Option<u64> {
        self.sets.iter().find(|set| set.id == id).map(|set| set.state)
    }

    /// Files of older states that this one still holds.
    pub(super) fn retired_paths(&self) -> impl Iterator<Item = &str> {
        self.retired.keys().map(String::as_str)
    }

    pub(super) fn read(state: &Path) -> Result<Self> {
        let path = state.join("memory.json");
        let text = files::text(&path)?
            .ok_or_else(|| error::corrupt(format!("{} is missing", path.display())))?;
        serde_json::from_str(&text)
            .map_err(|e| error::corrupt(format!("{} is unreadable: {e}", path.display())))
    }

    pub(super) fn write(&self, state: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|e| {
            pybit_core::Error::internal("a state's memory cannot be written").with_source(e)
        })?;
        files::write(&state.join("memory.json"), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(ToString::to_string).collect()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_replaced_file_stays_for_the_kept_states_and_the_kept_time() {
        let keep = Keep { states: 2, time: Duration::from_secs(100) };
        let first = Memory::default().next(own(&["a", "b"]), 1, at(10), keep);
        let second = first.next(own(&["b"]), 2, at(20), keep);
        assert_eq!(second.retired.keys().collect::<Vec<_>>(), ["a"]);
        let third = second.next(own(&["b"]), 3, at(500), keep);
        assert!(third.retired.contains_key("a"), "one state later, though long past its time");
        let young = second.next(own(&["b"]), 30, at(119), keep);
        assert!(young.retired.contains_key("a"), "many states later, though within its time");
        assert!(third.next(own(&["b"]), 4, at(501), keep).retired.is_empty());
    }

    #[test]
    fn the_sets_that_were_published_last_are_remembered() {
        let mut memory = Memory::default();
        for n in 0..=MAX_SETS as u64 {
            memory.publish(&n.to_string(), n + 1);
        }
        let keep = Keep { states: 1, time: Duration::ZERO };
        let next = memory.next(own(&[]), 2000, at(1), keep);
        assert_eq!(next.first_with("0"), None);
        assert_eq!(next.first_with("1"), Some(2));
        assert_eq!(next.first_with("1000"), Some(1001));
        let older: Memory = serde_json::from_str(r#"{"date":1,"own":[],"retired":{}}"#).unwrap();
        assert_eq!(older.first_with("1"), None);
    }

    #[test]
    fn a_file_that_comes_back_is_not_retired_and_dates_only_grow() {
        let keep = Keep { states: 3, time: Duration::ZERO };
        let first = Memory::default().next(own(&["a"]), 1, at(1000), keep);
        let second = first.next(own(&[]), 2, at(5), keep);
        assert_eq!(second.date, 1001, "the wall clock went back");
        assert!(second.next(own(&["a"]), 3, at(6), keep).retired.is_empty());
    }
}
