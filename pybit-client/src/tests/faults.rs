//! Servers that are away, answers that are lost, clients that are killed.

use pybit_core::protocol::Verdict;

use super::{Farm, Shutdown};
use crate::peer::Fault;
use crate::samples::assignment;

#[tokio::test]
async fn a_client_killed_mid_build_reports_the_same_attempt_when_it_starts_again() {
    let farm = Farm::new(&[&["hang"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 4)));
    let client = farm.start();
    farm.building().await;
    client.kill().await;
    assert_eq!(farm.left().len(), 1);
    let client = farm.start();
    let (kind, said) = farm.report(1).await;
    assert_eq!((kind.as_str(), &said["attempt"]), ("fail", &4.into()));
    assert_eq!(said["failure"]["class"], "infra");
    assert!(said["failure"]["message"].as_str().unwrap().contains("restarted"), "{said}");
    assert_eq!(said["log"]["length"], farm.log("1-4").len());
    farm.let_go((1, 4)).await;
    client.end(Shutdown::Fast).await;
    assert!(farm.left().is_empty());
}

#[tokio::test]
async fn a_client_killed_after_the_build_sends_the_result_when_it_starts_again() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.jobs.push_back(assignment(1, 1));
        s.refusals.insert("finish".to_owned(), (503, "unavailable"));
    });
    let client = farm.start();
    farm.peer.until("the file", |s| s.files.values().any(|(f, b)| f.size == b.len() as u64)).await;
    client.kill().await;
    farm.peer.with(|s| s.refusals.clear());
    let client = farm.start();
    let (kind, said) = farm.report(1).await;
    assert_eq!(kind, "finish");
    assert_eq!(said["log"]["length"], farm.log("1-1").len());
    assert_eq!(farm.bench.made.borrow().0, 1, "it was built once");
    client.end(Shutdown::Fast).await;
    assert!(farm.left().is_empty());
}

#[tokio::test]
async fn a_result_that_is_not_wanted_any_more_is_removed_at_the_next_start() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.jobs.push_back(assignment(1, 1));
        s.refusals.insert("finish".to_owned(), (503, "unavailable"));
    });
    let client = farm.start();
    farm.peer.until("the file", |s| s.files.values().any(|(f, b)| f.size == b.len() as u64)).await;
    client.kill().await;
    farm.peer.with(|s| s.verdicts.insert(1, Verdict::Stale));
    let client = farm.start();
    farm.peer.until("the job in hand", |s| s.held == [(1, 1)]).await;
    farm.let_go((1, 1)).await;
    client.end(Shutdown::Fast).await;
    assert!(farm.left().is_empty());
    assert!(farm.peer.with(|s| s.reports.is_empty()));
}

#[tokio::test]
async fn a_build_goes_on_while_the_server_is_away_and_its_result_follows() {
    let farm = Farm::new(&[&["gate"], &["write", "bytes"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    farm.building().await;
    farm.peer.with(|s| s.away = true);
    farm.bench.gate.notify_one();
    farm.bench.ended.subscribe().wait_for(|n| *n == 2).await.unwrap();
    assert!(farm.peer.with(|s| s.reports.is_empty()));
    farm.peer.with(|s| s.away = false);
    assert_eq!(farm.report(1).await.0, "finish");
    assert!(farm.log("1-1").contains("written\n"));
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_brings_the_same_job_again() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.jobs.extend([assignment(1, 1), assignment(2, 1)]);
        s.lost_claims = 3;
    });
    let client = farm.start();
    for job in [1, 2] {
        assert_eq!(farm.report(job).await.0, "finish");
    }
    assert_eq!(farm.bench.made.borrow().0, 2, "each was built once");
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_claim_whose_job_went_elsewhere_is_followed_by_another() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.jobs.extend([assignment(1, 1), assignment(2, 1)]);
        s.lost_claims = 1;
        s.elsewhere.insert(1);
    });
    let client = farm.start();
    assert_eq!(farm.report(2).await.0, "finish");
    assert_eq!(farm.bench.made.borrow().0, 1, "the other job is not this client's");
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn every_job_is_reported_once_through_a_storm_of_faults() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    let storm = [Fault::Away, Fault::LostAnswer, Fault::Forgot, Fault::None, Fault::Away];
    farm.peer.with(|s| {
        s.faults.extend(storm.iter().cycle().take(60));
        s.jobs.extend((1..=12).map(|n| assignment(n, 1)));
    });
    let mut config = farm.config();
    config.slots = 4;
    let client = farm.start_as(config, None);
    for job in 1..=12 {
        let (kind, said) = farm.report(job).await;
        assert_eq!(kind, "finish");
        assert_eq!(said["log"]["length"], farm.log(&format!("{job}-1")).len());
    }
    client.end(Shutdown::Fast).await;
    assert_eq!(farm.peer.with(|s| s.reports.len()), 12);
    assert_eq!(farm.bench.alive(), 0);
    assert!(farm.left().is_empty());
}

#[tokio::test]
async fn a_result_that_the_server_refuses_becomes_a_failure_with_its_reason() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.jobs.push_back(assignment(1, 1));
        s.refusals.insert("finish".to_owned(), (409, "older_version"));
    });
    let client = farm.start();
    let (kind, said) = farm.report(1).await;
    assert_eq!(kind, "fail");
    assert_eq!(said["failure"]["class"], "policy");
    assert!(said["failure"]["message"].as_str().unwrap().contains("older_version"), "{said}");
    assert_eq!(said["log"]["length"], farm.log("1-1").len());
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_report_that_meets_a_newer_attempt_is_dropped() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.jobs.push_back(assignment(1, 1));
        s.refusals.insert("finish".to_owned(), (409, "stale_attempt"));
    });
    let client = farm.start();
    farm.peer.until("the file", |s| s.files.values().any(|(f, b)| f.size == b.len() as u64)).await;
    farm.bench.made.subscribe().wait_for(|m| *m == (1, 0)).await.unwrap();
    farm.peer.until("an empty hand", |s| s.held.is_empty()).await;
    client.end(Shutdown::Fast).await;
    assert!(farm.left().is_empty());
    assert!(farm.peer.with(|s| s.reports.is_empty()));
}
