//! A table of the state that knows which of its rows a transaction has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::memory::Write;

/// Rows by key. It is read as the map that it is; the ways to change it stand below, and each notes the key.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    changed: BTreeSet<K>,
}

/// A table with one row at most.
pub(super) type Single<V> = Table<(), V>;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.changed.insert(key.clone());
        self.rows.insert(key, value);
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(row)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.changed.insert(key.clone());
        Some(row)
    }

    /// What has changed since the last call is told, or of no interest.
    pub(super) fn forget_changes(&mut self) {
        self.changed.clear();
    }
}

impl<K, V> Table<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// The rows that have changed since the last call, as `name/KEY` and value, both in JSON.
    pub(super) fn take_writes(&mut self, name: &str, writes: &mut Vec<Write>) -> Result<()> {
        for changed in std::mem::take(&mut self.changed) {
            let key = format!("{name}/{}", to_text(&changed)?);
            writes.push(match self.rows.get(&changed) {
                Some(row) => Write::Put { key, value: to_text(row)? },
                None => Write::Remove { key },
            });
        }
        Ok(())
    }

    /// Takes over a row that [`take_writes`](Self::take_writes) has told of.
    pub(super) fn read(&mut self, key: &str, value: &str) -> serde_json::Result<()> {
        self.rows.insert(serde_json::from_str(key)?, serde_json::from_str(value)?);
        Ok(())
    }
}

impl<V: Clone> Single<V> {
    pub(super) fn one(&self) -> Option<V> {
        self.rows.get(&()).cloned()
    }

    pub(super) fn set(&mut self, value: V) {
        self.insert((), value);
    }
}

impl Single<i64> {
    /// Counts one on; the first number is 1.
    pub(super) fn next(&mut self) -> i64 {
        let next = self.one().unwrap_or(0) + 1;
        self.set(next);
        next
    }
}

fn to_text<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::internal("a row of the state cannot be written down").with_source(e))
}

/// A kept row that the state cannot take.
pub(super) fn unreadable(
    key: &str,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the kept row {key} cannot be read"))
        .with_code("unreadable_row")
        .with_source(why)
}
