//! The life of a job.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pybit_core::ErrorKind;
use pybit_core::model::{FileSpec, JobKind, Source};
use pybit_core::protocol::{Input, RemoteFile, Verdict};
use pybit_core::storage::ClientReport;
use sha2::{Digest, Sha256};

use super::{Courier, Farm, Process, Shutdown};
use crate::config::ClientConfig;
use crate::samples::assignment;
use crate::secret::Secret;

#[tokio::test]
async fn a_job_is_built_and_its_files_and_log_are_reported_whole() {
    let farm = Farm::new(&[&["show"], &["write", "bytes"]]).await;
    let mut job = assignment(1, 3);
    let dsc = FileSpec {
        name: "hello_1.dsc".parse().unwrap(),
        size: 11,
        sha256: hex::encode(Sha256::digest(b"Format: 3.0")),
    };
    let path = "/api/v1/uploads/1/files/hello_1.dsc".to_owned();
    farm.peer.with(|s| s.pages.insert(path.clone(), [b"Format: 3.0".to_vec()].into()));
    job.input =
        Input::Package { main: dsc.name.clone(), files: vec![RemoteFile { spec: dsc, path }] };
    farm.peer.with(|s| s.jobs.push_back(job));
    let client = farm.start();
    let (kind, report) = farm.report(1).await;
    assert_eq!((kind.as_str(), &report["attempt"]), ("finish", &3.into()));
    assert_eq!(report["produced"][0]["name"], "hello");
    assert_eq!(report["files"][0]["name"], "hello_1_amd64.deb");
    assert!(farm.peer.with(|s| s.files["1-3/hello_1_amd64.deb"].1 == b"bytes"));
    let log = farm.log("1-3");
    assert_eq!(report["log"]["length"], log.len());
    assert_eq!(report["log"]["sha256"], hex::encode(Sha256::digest(&log)));
    assert!(log.contains("Format: 3.0") && log.contains("written\n"), "{log}");
    farm.let_go((1, 3)).await;
    assert_eq!(farm.bench.alive(), 0);
    client.end(Shutdown::Fast).await;
    assert!(farm.left().is_empty());
}

#[tokio::test]
async fn a_number_that_is_in_hand_is_given_back_when_it_is_given_again() {
    let farm = Farm::new(&[&["hang"], &["hang"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start_as(ClientConfig { slots: 2, ..farm.config() }, None);
    farm.building().await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let (kind, report) = farm.report(1).await;
    assert_eq!((kind.as_str(), &report["attempt"]), ("refuse", &1.into()));
    assert!(report["reason"].as_str().unwrap().contains("was the farm's database restored?"));
    assert_eq!(farm.bench.alive(), 1, "what is in hand goes on until the server says otherwise");
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_replaced_client_gives_its_jobs_back_and_takes_no_others() {
    let farm = Farm::new(&[&["hang"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    farm.building().await;
    farm.peer.with(|s| {
        s.refusals.insert("heartbeat".to_owned(), (409, ClientReport::REPLACED));
    });
    assert_eq!(farm.report(1).await.0, "refuse");
    farm.let_go((1, 1)).await;
    assert_eq!(farm.bench.alive(), 0);
    farm.peer.with(|s| s.jobs.push_back(assignment(2, 1)));
    let Process { task, stop } = client;
    assert!(!task.is_finished(), "it waits to be told to end");
    stop.send(Shutdown::Fast).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), task).await.expect("in time");
    assert_eq!(ended.unwrap().unwrap_err().code(), ClientReport::REPLACED);
    assert!(farm.peer.with(|s| !s.claims.values().any(|a| a.job.id.0 == 2)), "it asked for more");
}

#[tokio::test]
async fn a_complete_source_package_is_the_result_of_a_source_job_as_it_is() {
    let farm = Farm::new(&[]).await;
    farm.peer.with(|s| s.jobs.push_back(source_job(1)));
    let client = farm.start();
    let (kind, report) = farm.report(1).await;
    assert_eq!(kind, "finish");
    assert_eq!(report["source"]["main"], "hello_1.dsc");
    assert_eq!(report["source"]["resolved"], "1");
    assert_eq!(*farm.bench.made.borrow(), (0, 0), "no environment is needed");
    client.end(Shutdown::Fast).await;
}

fn source_job(id: i64) -> pybit_core::protocol::Assignment {
    let mut job = assignment(id, 1);
    job.job.kind = JobKind::Source;
    job.job.target.arch = pybit_core::model::Arch::source();
    let source = Source::Apt { package: "hello".parse().unwrap(), version: None };
    job.input = Input::Fetch { source, files: vec![] };
    job
}

#[tokio::test]
async fn what_goes_wrong_while_fetching_is_blamed_on_source_or_machine() {
    for (kind, class) in [
        (ErrorKind::NotFound, "source"),
        (ErrorKind::Invalid, "source"),
        (ErrorKind::Unavailable, "infra"),
        (ErrorKind::Full, "infra"),
    ] {
        let mut farm = Farm::new(&[]).await;
        farm.courier = Arc::new(Courier(Some(kind)));
        farm.peer.with(|s| s.jobs.push_back(source_job(1)));
        let client = farm.start();
        let (report, said) = farm.report(1).await;
        assert_eq!(report, "fail");
        assert_eq!(said["failure"]["class"], class, "{kind:?}");
        client.end(Shutdown::Fast).await;
    }
}

#[tokio::test]
async fn a_source_that_this_client_cannot_fetch_is_given_back() {
    let farm = Farm::new(&[]).await;
    let mut job = source_job(1);
    let source = Source::Git { url: "https://example.org/x.git".to_owned(), reference: None };
    job.input = Input::Fetch { source, files: vec![] };
    farm.peer.with(|s| s.jobs.push_back(job));
    let client = farm.start();
    let (kind, said) = farm.report(1).await;
    assert_eq!(kind, "refuse");
    assert!(said["reason"].as_str().unwrap().contains("\"git\""), "{said}");
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_failed_step_is_classified_by_the_end_of_its_log() {
    let farm = Farm::new(&[&["nonsense"], &["write", "never"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    let (kind, said) = farm.report(1).await;
    assert_eq!(kind, "fail");
    let message = said["failure"]["message"].as_str().unwrap();
    assert_eq!(message, "build ended with Code(2) after \"error: no such word\"");
    assert_eq!(said["log"]["length"], farm.log("1-1").len());
    farm.let_go((1, 1)).await;
    assert_eq!(farm.bench.alive(), 0);
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_build_that_leaves_nothing_fails_as_a_build() {
    let farm = Farm::new(&[]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    let (_, said) = farm.report(1).await;
    assert_eq!(said["failure"]["class"], "build");
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_build_that_never_stops_talking_ends_at_its_log_limit() {
    let farm = Farm::new(&[&["spew"]]).await;
    let mut job = assignment(1, 1);
    job.limits.log_bytes = 100_000;
    farm.peer.with(|s| s.jobs.push_back(job));
    let client = farm.start();
    let (kind, said) = farm.report(1).await;
    assert_eq!(kind, "fail");
    assert!(said["failure"]["message"].as_str().unwrap().contains("LogLimit"), "{said}");
    assert!(said["log"]["length"].as_u64().unwrap() <= 100_000 + 64 * 1024);
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_defect_of_the_client_ends_the_attempt_and_its_slot_builds_on() {
    let farm = Farm::new(&[&["defect"]]).await;
    farm.peer.with(|s| s.jobs.extend([assignment(1, 1), assignment(2, 1)]));
    let client = farm.start();
    for job in [1, 2] {
        let (kind, said) = farm.report(job).await;
        assert_eq!(kind, "fail");
        assert_eq!(said["failure"]["class"], "build", "no fault of the machine: {said}");
        assert!(said["failure"]["message"].as_str().unwrap().contains("defect"), "{said}");
    }
    client.end(Shutdown::Fast).await;
    assert_eq!(farm.bench.alive(), 0);
}

#[tokio::test]
async fn a_cancelled_build_is_stopped_cleaned_and_confirmed() {
    let farm = Farm::new(&[&["hang"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    farm.peer.until("the build", |s| s.logs.contains_key("1-1")).await;
    farm.building().await;
    farm.peer.with(|s| s.verdicts.insert(1, Verdict::Cancel));
    let (kind, said) = farm.report(1).await;
    assert_eq!(kind, "stopped");
    assert_eq!(said["log"]["length"], farm.log("1-1").len());
    assert_eq!(farm.bench.alive(), 0, "confirmed only after the environment was destroyed");
    farm.let_go((1, 1)).await;
    client.end(Shutdown::Fast).await;
    assert!(farm.left().is_empty());
}

#[tokio::test]
async fn a_job_that_another_client_has_is_dropped_in_silence() {
    for verdict in [Verdict::Stale, Verdict::Unknown] {
        let farm = Farm::new(&[&["hang"]]).await;
        farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
        let client = farm.start();
        farm.building().await;
        farm.peer.until("the job in hand", |s| s.held == [(1, 1)]).await;
        farm.peer.with(|s| s.verdicts.insert(1, verdict));
        farm.let_go((1, 1)).await;
        assert_eq!(farm.bench.alive(), 0);
        client.end(Shutdown::Fast).await;
        assert!(farm.left().is_empty());
        assert!(farm.peer.with(|s| s.reports.is_empty()));
    }
}

#[tokio::test]
async fn a_build_that_cannot_be_removed_is_not_confirmed_and_its_slot_not_reused() {
    let farm = Farm::new(&[&["hang"]]).await;
    farm.bench.stuck.store(true, Ordering::SeqCst);
    farm.peer.with(|s| s.jobs.extend([assignment(1, 1), assignment(2, 1)]));
    let client = farm.start();
    farm.building().await;
    farm.peer.with(|s| s.verdicts.insert(1, Verdict::Cancel));
    let error = client.ended().await.unwrap_err();
    assert!(error.message().contains("left something of a build behind"), "{error}");
    farm.peer.with(|s| {
        assert!(s.reports.is_empty());
        assert_eq!(s.jobs.len(), 1, "no other job was taken");
    });
}

#[tokio::test]
async fn a_client_that_drains_ends_its_builds_and_takes_no_more() {
    let farm = Farm::new(&[&["gate"], &["write", "bytes"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    farm.building().await;
    farm.peer.with(|s| s.jobs.push_back(assignment(2, 1)));
    let ending = client.end(Shutdown::Drain(Duration::from_secs(20)));
    farm.bench.gate.notify_one();
    ending.await;
    let reports = farm.peer.with(|s| s.reports.clone());
    assert_eq!(reports.iter().map(|r| (r.0, r.1.as_str())).collect::<Vec<_>>(), [(1, "finish")]);
}

#[tokio::test]
async fn a_client_that_must_end_gives_back_what_it_builds() {
    let farm = Farm::new(&[&["hang"]]).await;
    farm.peer.with(|s| s.jobs.push_back(assignment(1, 1)));
    let client = farm.start();
    farm.building().await;
    client.end(Shutdown::Fast).await;
    assert_eq!(farm.report(1).await.0, "refuse");
    assert_eq!(farm.bench.alive(), 0);
    assert!(farm.left().is_empty());
}

#[tokio::test]
async fn a_wrong_token_ends_the_client_with_one_sentence() {
    let farm = Farm::new(&[]).await;
    let mut config = farm.config();
    config.token = Some(Secret::new("pbt_wrong"));
    let error = farm.start_as(config, None).ended().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_second_client_is_refused_the_same_directory() {
    let farm = Farm::new(&[]).await;
    let first = farm.start();
    farm.peer.until("a claim or heartbeat", |_| farm.dir.path().join("lock").exists()).await;
    let error = farm.start().ended().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    first.end(Shutdown::Fast).await;
}
