//! Each invariant that once could not fail, shown failing on evidence with one thing wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::world::{Attempt, Event, Job, Part, World};
use super::{Evidence, bytes, health, jobs, life, repository};
use crate::farm::hints::Waiting;
use crate::farm::reader::{Observed, Seen};
use crate::faults::Done;
use crate::faults::queues::Deleted;
use crate::plan::{Backends, Fault, Kind, Plan, REAL};
use crate::submit::Promise;

/// A run in which nothing happened.
fn evidence(dir: &Path) -> Evidence {
    Evidence {
        plan: Plan::new(1, Backends::SqliteZero, 0, 0, 10_000),
        arch: "amd64".to_owned(),
        dir: dir.to_owned(),
        world: World::default(),
        promises: Vec::new(),
        observed: Observed::default(),
        waiting: Vec::new(),
        deleted: Vec::new(),
        faults: Vec::new(),
        logs: BTreeMap::new(),
        secrets: Vec::new(),
        usage: BTreeMap::new(),
        surprises: Vec::new(),
        connections: 0,
        played: 0,
        span: (0, 60_000_000),
        rest: Some(0),
    }
}

fn nowhere() -> Evidence {
    evidence(Path::new("/nonexistent"))
}

fn job(id: i64, package: &str, version: &str, status: &str) -> Job {
    serde_json::from_value(serde_json::json!({
        "id": id, "submission": id, "kind": "binary", "package": package, "version": version, "suite": "sid",
        "arch": "amd64", "status": status, "row_version": 9, "attempt": 1, "infra_retries": 0, "priority": 0,
        "failure_class": null, "failure_message": null, "retries_of": null,
    }))
    .unwrap()
}

fn attempt(job: i64, outcome: &str, class: Option<&str>) -> Attempt {
    serde_json::from_value(serde_json::json!({
        "job": job, "number": 1, "client": "client-1", "outcome": outcome, "failure_class": class, "log_sha256": null,
    }))
    .unwrap()
}

fn event(job: i64, to: &str, at: i64) -> Event {
    serde_json::from_value(serde_json::json!({
        "job": job, "number": 1, "attempt": 0, "from_status": null, "to_status": to, "actor": "a", "cause": "c", "at": at,
    }))
    .unwrap()
}

fn fault(kind: Kind, from: u64, lasts: u64) -> Done {
    let fault = Fault { at: from, kind, whom: 0, amount: 0, lasts };
    Done { fault, row: kind.row(), hit: Ok("somebody".to_owned()), from, to: from + lasts }
}

#[test]
fn a_job_that_ends_in_another_way_than_its_story_is_noticed() {
    let at_rest = |job: Job, class: Option<&str>| {
        let mut e = nowhere();
        e.world.jobs = vec![Job { failure_class: class.map(str::to_owned), ..job }];
        jobs::at_rest(&e).findings.len()
    };
    assert_eq!(at_rest(job(1, "chaos-p0001", "1.0", "Done"), None), 0);
    assert_eq!(at_rest(job(1, "chaos-p0001", "1.0", "Failed"), Some("infra")), 1);
    assert_eq!(at_rest(job(1, "chaos-p0001", "1.0", "Waiting"), None), 1);
    assert_eq!(at_rest(job(1, "chaos-f0001", "1.0", "Done"), None), 1);
    assert_eq!(at_rest(job(1, "chaos-s0001", "1.0", "Failed"), Some("policy")), 0);
    assert_eq!(at_rest(job(1, "chaos-s0001", "1.0", "Failed"), Some("infra")), 1);
    assert_eq!(at_rest(job(1, "chaos-s0001", "2.0", "Cancelled"), None), 1);
}

#[test]
fn a_job_that_should_have_waited_and_did_not_is_noticed() {
    let mut e = nowhere();
    e.world.jobs = vec![job(1, "chaos-w0001", "1.0", "Done")];
    e.world.attempts = vec![attempt(1, "failed", Some("dep-wait"))];
    assert_eq!(jobs::at_rest(&e).findings.len(), 1);
    e.world.events.insert(1, vec![event(1, "Blocked", 0)]);
    assert!(jobs::at_rest(&e).findings.is_empty());
    e.world.events.clear();
    e.world.attempts = vec![attempt(1, "lost", None)];
    assert!(jobs::at_rest(&e).findings.is_empty());
}

#[test]
fn a_submission_that_comes_to_no_build_is_noticed() {
    let mut e = nowhere();
    let promise =
        Promise { package: "chaos-p0001".to_owned(), submission: Some(7), ..Promise::default() };
    e.promises = vec![promise];
    assert_eq!(jobs::at_rest(&e).findings.len(), 1);
}

#[test]
fn bytes_without_a_name_and_names_without_bytes_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("data/blobs/parts/3");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("0-a"), "x").unwrap();
    let mut e = evidence(dir.path());
    let part = |object: &str| Part { stream: 3, start_at: 0, length: 1, object: object.to_owned() };
    e.world.parts = vec![part("parts/3/0-a")];
    assert!(bytes::staging(&e).findings.is_empty());
    e.world.parts.push(part("parts/3/1-b"));
    assert_eq!(bytes::staging(&e).findings.len(), 1);
    e.world.parts.clear();
    e.faults = vec![fault(Kind::KillClient, 0, 10)];
    assert_eq!(bytes::staging(&e).findings.len(), 1);
    e.faults = vec![fault(Kind::KillServer, 0, 10)];
    assert!(bytes::staging(&e).findings.is_empty());
}

#[test]
fn an_index_whose_signature_nobody_looked_at_is_noticed() {
    let mut e = nowhere();
    let seen = Seen { suite: REAL, package: "p".into(), version: "1".into(), arch: "amd64".into() };
    e.observed = Observed { polls: 3, now: [(seen, "d".to_owned())].into(), ..Observed::default() };
    assert_eq!(repository::readable(&e).findings.len(), 1);
    e.observed.verified = 1;
    assert!(repository::readable(&e).findings.is_empty());
}

#[test]
fn a_hint_that_leaves_while_nobody_can_take_it_is_noticed() {
    let mut e = nowhere();
    e.faults = vec![fault(Kind::PauseBroker, 1000, 4000)];
    e.world.events.insert(1, vec![event(1, "Waiting", 2_500_000)]);
    let waiting =
        |at, jobs: &[i64]| Waiting { at, jobs: jobs.iter().copied().collect::<BTreeSet<_>>() };
    // A change that was decided is not there at once; after the heal everything is sent.
    e.waiting = vec![waiting(2_600_000, &[]), waiting(4_000_000, &[1]), waiting(6_000_000, &[])];
    let held = health::outbox(&e);
    assert_eq!((held.looked_at, held.findings.len()), (2, 0));
    e.waiting[1].jobs.clear();
    assert_eq!(health::outbox(&e).findings.len(), 1);
    // Another fault has brought the broker back.
    e.faults.push(fault(Kind::KillBroker, 900, 1000));
    assert_eq!(health::outbox(&e).looked_at, 1);
    e.waiting.clear();
    e.faults.clear();
    e.deleted = vec![Deleted { from: 0, to: 6_000_000, hints: 1 }];
    assert!(health::outbox(&e).findings.is_empty());
    e.deleted[0].hints = 0;
    assert_eq!(health::outbox(&e).findings.len(), 1);
    e.deleted.clear();
    e.world.outbox = 1;
    assert_eq!(health::outbox(&e).findings.len(), 1);
}

#[test]
fn leases_that_lapse_for_nothing_are_noticed() {
    let lapse = |job| Event {
        cause: "its client was silent for 2 s".to_owned(),
        ..event(job, "Waiting", 0)
    };
    let mut e = nowhere();
    e.world.events =
        (1..=3).map(|job| (job, vec![lapse(job), event(job, "Building", 1)])).collect();
    e.faults = vec![fault(Kind::ClockJump, 0, 10)];
    assert_eq!(life::retries(&e).findings.len(), 1);
    e.faults.push(fault(Kind::KillClient, 0, 10));
    assert!(life::retries(&e).findings.is_empty());
    e.world.events.remove(&3);
    e.faults.truncate(1);
    assert!(life::retries(&e).findings.is_empty());
}

#[test]
fn a_job_that_is_passed_over_is_noticed_unless_nobody_could_see_it() {
    let mut e = nowhere();
    e.world.jobs = vec![job(1, "a", "1", "Done"), Job { priority: 5, ..job(2, "b", "1", "Done") }];
    let waits = |id, since, claimed| {
        (id, vec![event(id, "Waiting", since), event(id, "Building", claimed)])
    };
    e.world.events = [waits(1, 0, 6_000_000), waits(2, 2_000_000, 9_000_000)].into();
    assert_eq!(life::priorities(&e).findings.len(), 1);
    for (kind, from, excused) in [
        (Kind::PauseServer, 1000, true),
        (Kind::PauseDatabase, 2500, true),
        (Kind::PauseServer, 3500, false),
        (Kind::KillClient, 1000, false),
    ] {
        e.faults = vec![fault(kind, from, 5000)];
        assert_eq!(life::priorities(&e).findings.is_empty(), excused, "{kind:?} at {from}");
    }
}

#[test]
fn defects_are_noticed() {
    let mut e = nowhere();
    e.surprises.push("web-1 ended by itself: exit status: 1".to_owned());
    assert!(health::defects(&e).findings.is_empty());
    e.surprises.push("web-1 ERROR a request failed by a defect".to_owned());
    e.surprises.push("client-1 thread 'main' panicked at x.rs".to_owned());
    assert_eq!(health::defects(&e).findings.len(), 2);
}

#[test]
fn memory_and_files_that_grow_are_noticed() {
    let usage = |before, after| {
        let mut e = nowhere();
        e.usage.insert("web-1".to_owned(), [Some(before), Some(after)]);
        health::usage(&e).findings.len()
    };
    assert_eq!(usage((40_000, 50), (60_000, 60)), 0);
    assert_eq!(usage((40_000, 50), (140_000, 50)), 1);
    assert_eq!(usage((40_000, 50), (40_000, 72)), 1);
}
