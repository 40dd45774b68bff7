//! The state that is kept in rows is the state that was in memory, whatever happens to a commit.
#![cfg(feature = "conformance")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::MemoryStorage;
use crate::clock::Timestamp;
use crate::conformance::{Fixture, ROWS, STORAGE, run};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Rows, Write};
use crate::storage::{AccountStore, ClientStore, JobStore, Storage, StreamStore};

/// What happens to the next commit.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Fate {
    #[default]
    Kept,
    /// It fails and nothing is kept.
    Lost,
    /// It fails all the same: power went before the answer.
    KeptUnsaid,
    Panics,
}

#[derive(Debug, Default)]
struct TestRows {
    rows: Mutex<BTreeMap<String, String>>,
    fate: Mutex<Fate>,
    /// Every commit waits for it, where there is one.
    gate: Mutex<Option<Arc<Notify>>>,
    loads: Mutex<u32>,
}

#[async_trait]
impl Rows for TestRows {
    async fn load(&self) -> Result<Vec<(String, String)>> {
        *self.loads.lock().unwrap() += 1;
        Ok(self.rows.lock().unwrap().clone().into_iter().collect())
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let fate = std::mem::take(&mut *self.fate.lock().unwrap());
        assert_ne!(fate, Fate::Panics, "told to panic");
        let failed = Err(Error::new(ErrorKind::Unavailable, "the disk is gone"));
        if fate == Fate::Lost {
            return failed;
        }
        let mut rows = self.rows.lock().unwrap();
        for write in batch {
            match write {
                Write::Put { key, value } => rows.insert(key, value),
                Write::Remove { key } => rows.remove(&key),
            };
        }
        if fate == Fate::KeptUnsaid { failed } else { Ok(()) }
    }
}

/// Gives storages over rows, and remembers both.
#[derive(Default)]
struct Remembered(Mutex<Vec<(Arc<MemoryStorage>, Arc<TestRows>)>>);

#[async_trait]
impl Fixture<dyn Storage> for Remembered {
    async fn fresh(&self) -> Arc<dyn Storage> {
        let rows = Arc::new(TestRows::default());
        let storage = Arc::new(open_over(&rows).await.unwrap());
        self.0.lock().unwrap().push((Arc::clone(&storage), rows));
        storage
    }
}

#[async_trait]
impl Fixture<dyn Rows> for Remembered {
    async fn fresh(&self) -> Arc<dyn Rows> {
        Arc::new(TestRows::default())
    }
}

async fn open_over(rows: &Arc<TestRows>) -> Result<MemoryStorage> {
    MemoryStorage::kept_in(Arc::<TestRows>::clone(rows)).await
}

async fn shown(storage: &MemoryStorage) -> String {
    format!("{:#?}", *storage.read().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_the_suite_does_comes_back_after_a_restart() {
    let remembered = Remembered::default();
    assert_eq!(run(STORAGE, &remembered).await, STORAGE.len());
    let all = std::mem::take(&mut *remembered.0.lock().unwrap());
    assert!(all.len() >= STORAGE.len());
    for (storage, rows) in all {
        let again = open_over(&rows).await.unwrap();
        assert_eq!(shown(&again).await, shown(&storage).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_for_tests_conform() {
    assert_eq!(run(ROWS, &Remembered::default()).await, ROWS.len());
}

async fn open() -> (Arc<MemoryStorage>, Arc<TestRows>) {
    let rows = Arc::new(TestRows::default());
    (Arc::new(open_over(&rows).await.unwrap()), rows)
}

#[tokio::test]
async fn a_commit_that_fails_leaves_what_the_rows_say() {
    let rows = Arc::new(TestRows::default());
    for (fate, found) in [(Fate::Lost, "b"), (Fate::KeptUnsaid, "a"), (Fate::Panics, "b")] {
        rows.rows.lock().unwrap().remove("farm_id/null");
        let storage = open_over(&rows).await.unwrap();
        *rows.fate.lock().unwrap() = fate;
        storage.farm_id("a").await.unwrap_err();
        assert_eq!(storage.farm_id("b").await.unwrap(), found, "{fate:?}");
    }
}

#[tokio::test]
async fn a_question_after_a_failed_commit_reads_the_rows_again() {
    let (storage, rows) = open().await;
    *rows.fate.lock().unwrap() = Fate::Lost;
    storage.new_upload("alice", &[], Timestamp::from_micros(1)).await.unwrap_err();
    assert!(storage.upload(crate::model::UploadId(1)).await.unwrap().is_none());
    assert_eq!(*rows.loads.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_refusal_and_a_question_write_nothing() {
    let (storage, rows) = open().await;
    let before = rows.rows.lock().unwrap().clone();
    storage.farm_id("a").await.unwrap();
    *rows.fate.lock().unwrap() = Fate::Lost;
    assert_eq!(storage.farm_id("b").await.unwrap(), "a");
    assert!(!storage.set_draining(&"nobody".parse().unwrap(), true).await.unwrap());
    storage.reset(crate::model::StreamId(7)).await.unwrap_err();
    storage.counts().await.unwrap();
    assert_eq!(*rows.fate.lock().unwrap(), Fate::Lost, "nothing was committed");
    assert_eq!(before.len() + 1, rows.rows.lock().unwrap().len());
}

#[tokio::test]
async fn a_caller_that_goes_away_tears_no_transaction() {
    let (storage, rows) = open().await;
    let gate = Arc::new(Notify::new());
    *rows.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let asked = storage.farm_id("a");
    let gone = tokio::time::timeout(Duration::from_millis(1), asked).await;
    assert!(gone.is_err(), "the commit waits at the gate");
    *rows.gate.lock().unwrap() = None;
    gate.notify_one();
    assert_eq!(storage.farm_id("b").await.unwrap(), "a");
    assert_eq!(*rows.loads.lock().unwrap(), 1, "the state was known all the time");
}

#[tokio::test]
async fn rows_of_a_newer_pybit_or_of_another_program_are_refused() {
    for (row, value, code) in [
        ("format/null", "2", "newer_format"),
        ("format/null", "x", "unreadable_row"),
        ("books/1", "{}", "unreadable_row"),
    ] {
        let rows = Arc::new(TestRows::default());
        rows.rows.lock().unwrap().insert(row.to_owned(), value.to_owned());
        assert_eq!(open_over(&rows).await.unwrap_err().code(), code, "{row} {value}");
    }
    let (_, rows) = open().await;
    rows.rows.lock().unwrap().insert("jobs/1".to_owned(), "{}".to_owned());
    let error = open_over(&rows).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "unreadable_row"));
    assert!(error.message().contains("jobs/1"), "{error}");
}
