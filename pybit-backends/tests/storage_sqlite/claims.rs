//! Who gets which job, and who hears of it.

use std::sync::Arc;

use crate::farm::{self, Farm, at, binary, client, end, later, record};
use pybit_core::model::{Avoid, JobId, JobStatus, Outcome};
use pybit_core::storage::JobStore;

#[tokio::test]
async fn claim_takes_the_best_over_all_offers() {
    let farm = Farm::fresh().await;
    for (package, arch, priority, weight) in
        [("a", "amd64", 0, 5), ("b", "arm64", 1, 0), ("c", "amd64", 1, 1), ("d", "amd64", 1, 1)]
    {
        let mut job = binary(package, "1", arch);
        (job.priority, job.weight) = (priority, weight);
        farm.store.record_submission(&record(None, vec![job]), at()).await.unwrap();
    }
    let mut order = Vec::new();
    while let Some(job) = farm.claim("box", &["arm64", "amd64"]).await {
        assert_eq!((job.status, job.attempt, job.row_version), (JobStatus::Building, 1, 2));
        order.push(job.package.to_string());
    }
    assert_eq!(order, ["c", "d", "b", "a"]);
    assert!(farm.claim("box", &["riscv64"]).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_claims_take_each_job_once() {
    let farm = Arc::new(Farm::fresh().await);
    let jobs = (0..42).map(|n| binary(&format!("p{n}"), "1", "amd64")).collect();
    farm.store.record_submission(&record(None, jobs), at()).await.unwrap();
    let workers = (0..8).map(|n| {
        let farm = Arc::clone(&farm);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            while let Some(job) = farm.claim(&format!("box{n}"), &["amd64"]).await {
                mine.push(job.id);
            }
            mine
        })
    });
    let mut taken = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        taken.extend(worker.await.unwrap());
    }
    taken.sort();
    assert_eq!(taken, (1..=42).map(JobId).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_claim_id_returns_the_same_job_until_it_is_over() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let claim = farm::claim("box", "once", &["amd64"]);
    let first = farm.store.claim(&claim, at()).await.unwrap().unwrap();
    let again = farm.store.claim(&claim, later(9)).await.unwrap().unwrap();
    assert_eq!(first, again);
    farm.to(&first, JobStatus::Waiting, |c| c.attempt_end = Some(end(Outcome::Refused))).await;
    assert_eq!(farm.store.claim(&claim, at()).await.unwrap(), None);
    assert_eq!(farm.claim("box", &["amd64"]).await.unwrap().attempt, 2);
    assert_eq!(farm.store.claim(&claim, at()).await.unwrap(), None);
}

#[tokio::test]
async fn pauses_and_preferences_hold_a_job_back_until_they_end() {
    let farm = Farm::fresh().await;
    let job = farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    farm.to(&held, JobStatus::Waiting, |c| {
        c.after.not_before = later(10);
        c.after.avoid = Some(Avoid { client: client("box"), until: later(20) });
        c.attempt_end = Some(end(Outcome::Failed));
    })
    .await;
    let ask = |name, at| {
        let claim = farm::claim(name, &format!("{name}{at:?}"), &["amd64"]);
        let store = &farm.store;
        async move { store.claim(&claim, at).await.unwrap() }
    };
    assert!(farm.store.due_routes(later(9)).await.unwrap().is_empty());
    assert_eq!(farm.store.due_routes(later(10)).await.unwrap(), [job.target.route()]);
    assert!(ask("other", later(9)).await.is_none());
    assert!(ask("box", later(19)).await.is_none());
    assert!(ask("box", later(20)).await.is_some());
}

#[tokio::test]
async fn the_place_in_the_queue_counts_what_ranks_higher() {
    let farm = Farm::fresh().await;
    let first = farm.submit("a", "1").await;
    let second = farm.submit("b", "1").await;
    let mut urgent = binary("c", "1", "amd64");
    urgent.priority = 5;
    farm.record_one(urgent).await;
    farm.record_one(binary("d", "1", "arm64")).await;
    assert_eq!(farm.store.ahead_of(&first).await.unwrap(), 1);
    assert_eq!(farm.store.ahead_of(&second).await.unwrap(), 2);
}

#[tokio::test]
async fn hints_stay_until_they_are_marked() {
    let farm = Farm::fresh().await;
    let job = farm.submit("a", "1").await;
    let rows = farm.store.outbox(9).await.unwrap();
    assert_eq!((rows.len(), rows[0].job, &rows[0].route), (1, job.id, &job.target.route()));
    assert_eq!(farm.store.outbox(9).await.unwrap(), rows);
    for _ in 0..2 {
        farm.store.mark_sent(&[rows[0].id]).await.unwrap();
    }
    farm.submit("b", "1").await;
    let rest = farm.store.outbox(9).await.unwrap();
    assert!(rest.len() == 1 && rest[0].id > rows[0].id, "{rest:?}");
}
