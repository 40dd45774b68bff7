//! Keys, version rules and supersede.

use std::sync::Arc;

use crate::farm::{Farm, at, binary, end, record};
use pybit_core::ErrorKind;
use pybit_core::model::{JobFilter, JobStatus, Outcome, Page};
use pybit_core::storage::JobStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_key_returns_the_first_result_to_every_caller() {
    let farm = Arc::new(Farm::fresh().await);
    let wish = record(Some("k"), vec![binary("a", "1", "amd64"), binary("a", "1", "arm64")]);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (farm, wish) = (Arc::clone(&farm), wish.clone());
            tokio::spawn(async move { farm.store.record_submission(&wish, at()).await.unwrap() })
        })
        .collect();
    let mut repeated = 0;
    for caller in callers {
        let answer = caller.await.unwrap();
        repeated += usize::from(answer.repeated);
        assert_eq!(answer.jobs.iter().map(|j| j.id.0).collect::<Vec<_>>(), [1, 2]);
    }
    assert_eq!(repeated, 7);
    let mut other = wish.clone();
    other.request.priority = 3;
    let error = farm.store.record_submission(&other, at()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "idempotency_key_reused"));
    other.principal = "somebody else".to_owned();
    other.jobs = vec![binary("b", "1", "amd64")];
    assert!(!farm.store.record_submission(&other, at()).await.unwrap().repeated);
}

#[tokio::test]
async fn a_newer_version_supersedes_older_unfinished_ones() {
    let farm = Farm::fresh().await;
    let building = farm.submit("a", "1").await;
    farm.claim("box", &["amd64"]).await.unwrap();
    let elsewhere = farm.record_one(binary("a", "1", "arm64")).await;
    let newer = farm.submit("a", "2").await;
    let newest = farm.submit("a", "3").await;
    let now = |id| farm.job(id);
    let old = now(building.id).await;
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelling, Some(newer.id)));
    let old = now(newer.id).await;
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelled, Some(newest.id)));
    assert_eq!(now(elsewhere.id).await.status, JobStatus::Waiting);
    let events = farm.store.events(newer.id).await.unwrap();
    assert_eq!(events.iter().map(|e| e.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(events[1].to, JobStatus::Cancelled);
}

#[tokio::test]
async fn the_version_rules_refuse_and_force_lets_pass() {
    let farm = Farm::fresh().await;
    let two = farm.submit("a", "2").await;
    let refused = |version: &str, force: bool| {
        let mut job = binary("a", version, "amd64");
        job.force = force;
        let store = &farm.store;
        async move { store.record_submission(&record(None, vec![job]), at()).await }
    };
    let older = refused("1", false).await.unwrap_err();
    assert_eq!((older.kind(), older.code()), (ErrorKind::Conflict, "older_version"));
    assert!(older.message().contains(" 2,") && older.message().contains("job 1;"), "{older}");
    let equal = refused("2", false).await.unwrap_err();
    assert_eq!((equal.kind(), equal.code()), (ErrorKind::Conflict, "same_version"));
    assert!(equal.message().contains("job 1 "), "{equal}");
    assert_eq!(farm.store.jobs(&JobFilter::default(), &Page::first(9)).await.unwrap().len(), 1);

    let forced = refused("2", true).await.unwrap().jobs.remove(0);
    let old = farm.job(two.id).await;
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelled, Some(forced.id)));
    let older = refused("1", true).await.unwrap().jobs.remove(0);
    assert_eq!(
        (older.status, farm.job(forced.id).await.status),
        (JobStatus::Waiting, JobStatus::Waiting)
    );
}

#[tokio::test]
async fn a_forced_rebuild_leaves_an_uploaded_result_alone() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    farm.to(&held, JobStatus::Uploaded, |c| c.attempt_end = Some(end(Outcome::Succeeded))).await;
    let mut again = binary("a", "1", "amd64");
    again.force = true;
    farm.record_one(again).await;
    assert_eq!(farm.job(held.id).await.status, JobStatus::Uploaded);
}
