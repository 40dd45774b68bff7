//! What build clients report, and what they are told: letters a, d and e.

use std::time::Duration;

use pybit::core::model::{Failure, FailureClass, Job, JobStatus};
use pybit::core::protocol::{FailRequest, FinishRequest, Held, Verdict};
use pybit::core::storage::{Advance, Change};
use pybit::{ErrorKind, Farm as Embedded};

use crate::embedded::{self, empty_log, held_job, report};
use crate::proxy::{Fate, Proxy};
use crate::support::package::Package;
use crate::support::process::processes_with;
use crate::support::{DEADLINE, Farm, outcomes, wait_for};

/// The original acknowledged the message, then put the result and swallowed the connection error: the job stayed Building
/// for ever. Ours keeps the report until the server has taken it: whether the server dies before it reads the report or
/// before it answers, the job ends, by its one attempt.
#[test]
#[ignore = "needs dpkg-dev, debhelper and the user pybit-build"]
fn a_finished_job_whose_report_was_lost_does_not_stay_building() {
    let farm = Farm::new("");
    let mut web = farm.web();
    let proxy = Proxy::to(farm.address());
    let client = farm.client_through("one", &proxy.url());
    for (name, fate) in [
        ("pybit-unread", Fate::CutBefore("/finish")),
        ("pybit-unheard", Fate::LoseAnswer("/finish")),
    ] {
        // Counted before the cut: the client may say it before the server is dead.
        let told = client.said().matches("a report waits for the server").count();
        proxy.set(fate);
        let (submission, source) = farm.submit(&Package::new(name, "1.0").write(farm.path()));
        proxy.wait_cut();
        web.kill();
        wait_for("the report to wait", DEADLINE, || {
            (client.said().matches("a report waits for the server").count() > told).then_some(())
        });
        web = farm.web();
        proxy.set(Fate::Pass);
        let binary = farm.binary_job(&submission);
        let (first, second) =
            (farm.wait_status(source, "Done"), farm.wait_status(binary, "Uploaded"));
        assert_eq!(outcomes(&first), ["succeeded"], "{name}: {first}");
        assert_eq!(outcomes(&second), ["succeeded"], "{name}: {second}");
    }
    drop(web);
}

/// The original wrote whatever status it was told: a build that ended after its cancellation made the job Done again. Ours
/// refuses every late word about a cancelled job, and changes nothing, also after the database was opened anew.
#[tokio::test]
async fn d_late_report_cannot_undo_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let farm = embedded::open(dir.path()).await;
    let held = held_job(&farm, "hello").await;
    let client = report("one").name;
    farm.cancel("alice", held.id, None).await.unwrap();
    farm.stopped(&client, held.id, held.attempt, &empty_log()).await.unwrap();
    let cancelled = farm.job(held.id).await.unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelled);
    late_words(&farm, &cancelled).await;
    drop(farm);
    let farm = embedded::open(dir.path()).await;
    late_words(&farm, &cancelled).await;
    // Not even by the storage itself, whose trigger holds the transition table.
    for to in [JobStatus::Done, JobStatus::Building, JobStatus::Waiting] {
        let now = farm.clock().now();
        let old = farm.storage().advance(&change(&held, to), now).await.unwrap();
        assert_eq!(old, Advance::Stale(Box::new(cancelled.clone())), "on the row as it was");
        let error = farm.storage().advance(&change(&cancelled, to), now).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{to}: {error}");
    }
    assert_eq!(farm.job(held.id).await.unwrap(), cancelled);
}

/// Everything that a client or watcher could still say.
async fn late_words(farm: &Embedded, job: &Job) {
    let (client, id, attempt) = (report("one").name, job.id, job.attempt);
    let log = empty_log();
    let failure = Failure { class: FailureClass::Build, message: "late".to_owned() };
    let fail = FailRequest { attempt, log: log.clone(), failure, unmet: Vec::new() };
    let finish = FinishRequest {
        attempt,
        log: log.clone(),
        files: Vec::new(),
        source: None,
        produced: Vec::new(),
    };
    let refused = [
        farm.finish(&client, id, &finish, None).await,
        farm.fail(&client, id, &fail).await,
        farm.refuse(&client, id, attempt, "late").await,
        farm.published("watcher", id, attempt, "here").await,
        farm.rejected("watcher", id, attempt, "late").await,
    ];
    for answer in refused {
        assert_eq!(answer.unwrap_err().code(), "job_has_ended");
    }
    let again = farm.stopped(&client, id, attempt, &log).await.unwrap();
    assert_eq!(again, *job, "confirming twice is harmless");
    let held = [Held { job: id, attempt }];
    let (verdicts, _) = farm.heartbeat(&report("one"), &held).await.unwrap();
    assert_eq!(verdicts, [Verdict::Stale]);
    assert_eq!(farm.job(id).await.unwrap(), *job);
}

fn change(job: &Job, to: JobStatus) -> Change {
    let mut after = job.clone();
    after.status = to;
    after.row_version += 1;
    Change {
        expected: job.row_version,
        expected_lease: None,
        after,
        actor: "late".to_owned(),
        cause: "late".to_owned(),
        attempt_end: None,
        reopen_attempt: false,
        needs_files: false,
        follow: Vec::new(),
        version_key: None,
        health: None,
    }
}

/// A gated build in the hand of the client `one`; its number, and the words that its processes carry.
fn gated(farm: &Farm, name: &str) -> (i64, String) {
    let gate = farm.path().join("never-opened");
    let tree = Package::new(name, "1.0").gate(&gate).write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    (job, gate.display().to_string())
}

/// The client has nothing of any job left.
fn wait_nothing_left(farm: &Farm, marker: &str) {
    wait_for("the client to let go", DEADLINE, || {
        let left = std::fs::read_dir(farm.jobs_dir("one")).is_ok_and(|mut d| d.next().is_some());
        (!left && processes_with(marker).is_empty()).then_some(())
    });
}

/// The original sent cancellations to a queue that vanished with its listener. Ours tells it in the answer to the first
/// heartbeat after the outage: the build ends, the client confirms, nothing is published.
#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn e_cancel_reaches_a_client_that_was_offline() {
    let farm = Farm::with_lease(Duration::from_mins(10), "");
    let _web = farm.web();
    let proxy = Proxy::to(farm.address());
    let (_client, _watcher) = (farm.client_through("one", &proxy.url()), farm.watcher());
    let (job, marker) = gated(&farm, "pybit-offline");
    proxy.set(Fate::Away);
    farm.json(&["cancel", &job.to_string(), "--json"]);
    assert_eq!(farm.job(job)["job"]["status"], "Cancelling", "the client has not confirmed");
    assert!(!processes_with(&marker).is_empty(), "it does not know yet");
    proxy.set(Fate::Pass);
    let detail = farm.wait_status(job, "Cancelled");
    assert_eq!(outcomes(&detail), ["cancelled"], "the client itself has confirmed: {detail}");
    wait_nothing_left(&farm, &marker);
    assert!(farm.published("pybit-offline").is_empty());
}

/// The same with a client that was dead: the farm ends the job without it, and when it comes back it drops what it had.
#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn e_cancel_holds_when_a_dead_client_comes_back() {
    let farm = Farm::new("");
    let _web = farm.web();
    let _watcher = farm.watcher();
    let client = farm.client("one");
    let (job, marker) = gated(&farm, "pybit-dead");
    client.kill();
    farm.json(&["cancel", &job.to_string(), "--json"]);
    farm.wait_status(job, "Cancelled");
    std::fs::write(&marker, "the gate is open: a build that went on would end well").unwrap();
    let _client = farm.client("one");
    wait_nothing_left(&farm, &marker);
    // The client works again, and has nothing more to say about the cancelled job.
    let after = farm.submit(&Package::new("pybit-after", "1.0").write(farm.path())).0;
    farm.wait_status(farm.binary_job(&after), "Done");
    let detail = farm.job(job);
    assert_eq!((&detail["job"]["status"], outcomes(&detail)), (&"Cancelled".into(), vec!["lost"]));
    assert!(farm.published("pybit-dead").is_empty());
}
