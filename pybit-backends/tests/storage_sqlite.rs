//! SQLite keeps what the storage traits promise, and what a file on a disk promises besides.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/files.rs"]
mod files;

use std::sync::Arc;

use files::{open, settings};
use pybit_backends::sql::SqlStore;
use pybit_core::conformance::support::{
    at, change, claim, planned, record, submit, submit_and_take, take, target,
};
use pybit_core::model::{JobFilter, JobId, JobStatus, Page};
use pybit_core::storage::{Advance, JobStore};
use sqlx::Sqlite;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_on_one_file_hand_each_job_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let servers = [open(folder.path()).await, open(folder.path()).await];
    submit(&servers[0], (0..42).map(|n| planned(&format!("p{n}"), "1")).collect()).await;
    let workers: Vec<_> = (0..8)
        .map(|n| {
            let server = Arc::clone(&servers[n % 2]);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                let wish = || claim(&format!("box{n}"), &[target("amd64")]);
                while let Some(job) = server.claim(&wish(), at(1)).await.unwrap() {
                    mine.push(job.id);
                }
                mine
            })
        })
        .collect();
    let mut taken = Vec::new();
    for worker in workers {
        taken.extend(worker.await.unwrap());
    }
    taken.sort();
    assert_eq!(taken, (1..=42).map(JobId).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).await;
    let held = submit_and_take(&storage, "box", planned("hello", "1")).await;
    let done = storage.advance(&change(&held, JobStatus::Uploaded), at(2)).await.unwrap();
    let Advance::Done(uploaded, _) = done else { panic!("nobody was faster") };

    // What lies on the disk at this moment, the write-ahead log with it, is what a killed process leaves.
    let killed = tempfile::tempdir().unwrap();
    for file in ["farm.db", "farm.db-wal"] {
        std::fs::copy(folder.path().join(file), killed.path().join(file)).unwrap();
    }
    assert!(std::fs::metadata(killed.path().join("farm.db-wal")).unwrap().len() > 0);
    let again = open(killed.path()).await;
    assert_eq!(again.job(held.id).await.unwrap(), Some(*uploaded));
    assert_eq!(again.events(held.id).await.unwrap().len(), 3);
    submit(&again, vec![planned("other", "1")]).await;
    take(&again, "box", target("amd64")).await;
}

#[tokio::test]
async fn a_clean_stop_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqlStore::<Sqlite>::open(&settings(folder.path())).await.unwrap();
    store.record_submission(&record(vec![planned("hello", "1")]), at(0)).await.unwrap();
    assert_eq!(store.jobs(&JobFilter::default(), &Page::first(9)).await.unwrap().len(), 1);
    store.close().await;
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["farm.db"]);
}
