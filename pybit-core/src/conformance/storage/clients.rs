//! Build clients and their heartbeats.

use crate::conformance::support::{
    Store, apply, at, change, client, ending, now, planned, report, submit_and_take, target,
};
use crate::error::ErrorKind;
use crate::model::{BuildClient, Job, JobId, JobStatus, Outcome};
use crate::storage::{Beat, Change, ClientReport, HealthMark};

use JobStatus::{Cancelling, Failed, Uploaded, Waiting};

async fn beat(s: &Store, client: &str, jobs: &[(JobId, u32)]) -> Beat {
    s.beat(&report(client, &[target("amd64")]), jobs, at(5)).await.expect("a heartbeat")
}

pub(super) async fn beat_moves_only_the_callers_leases(s: Store) {
    let mut jobs: Vec<Job> = Vec::new();
    for (n, client) in ["me", "me", "me", "me", "me", "other"].into_iter().enumerate() {
        jobs.push(submit_and_take(&s, client, planned(&format!("p{n}"), "1")).await);
    }
    jobs[1] = apply(&s, change(&jobs[1], Cancelling)).await;
    jobs[2] = apply(&s, ending(&jobs[2], Uploaded, Outcome::Succeeded)).await;
    jobs[3] = apply(&s, ending(&jobs[3], Waiting, Outcome::Lost)).await;
    // Listed: its own, one it cancels, ended, lapsed, one at a wrong attempt, another's.
    let mut listed: Vec<_> = jobs.iter().map(|j| (j.id, 1)).collect();
    listed[4].1 = 2;
    let moves = [true, true, false, false, false, false];
    for round in 1..=2 {
        beat(&s, "me", &listed).await;
        for (n, (before, moves)) in jobs.iter().zip(moves).enumerate() {
            let lease_epoch = before.lease_epoch + if moves { round } else { 0 };
            let expected = Job { lease_epoch, ..before.clone() };
            assert_eq!(now(&s, before).await, expected, "job {n}: only its lease may move");
        }
    }
    let unlisted = now(&s, &jobs[0]).await;
    beat(&s, "me", &[]).await;
    assert_eq!(now(&s, &unlisted).await, unlisted, "a job that is not listed does not move");
    assert_eq!(s.events(unlisted.id).await.expect("an answer").len(), 2, "no event");
}

pub(super) async fn beat_remembers_the_client(s: Store) {
    assert_eq!(s.client(&client("c")).await.expect("an answer"), None);
    let first = beat(&s, "c", &[]).await.client;
    let said = report("c", &[target("amd64")]);
    let expected = BuildClient {
        name: said.name.clone(),
        boot: said.boot.clone(),
        version: said.version.clone(),
        slots: said.slots,
        offers: said.offers.clone(),
        draining: false,
        infra_streak: 0,
        quarantined_until: first.quarantined_until,
        seen_at: at(5),
        holds: 0,
    };
    assert_eq!(first, expected);
    assert!(first.quarantined_until <= at(0), "a new client is not in quarantine");

    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let ill = HealthMark::Ill { quarantined_until: at(500) };
    apply(&s, Change { health: Some(ill), ..ending(&job, Failed, Outcome::Failed) }).await;
    assert!(s.set_draining(&client("c"), true).await.expect("an answer"));
    let again = ClientReport {
        boot: "boot-2".to_owned(),
        version: "0.2.0".to_owned(),
        slots: 7,
        ..report("c", &[target("arm64"), target("source")])
    };
    let after = s.beat(&again, &[], at(9)).await.expect("a heartbeat").client;
    let expected = BuildClient {
        boot: again.boot,
        version: again.version,
        slots: 7,
        offers: again.offers,
        draining: true,
        infra_streak: 1,
        quarantined_until: at(500),
        seen_at: at(9),
        ..first
    };
    assert_eq!(after, expected, "what it says changes, what is known of it stays");
    assert_eq!(s.client(&client("c")).await.expect("an answer"), Some(after));
}

pub(super) async fn a_replaced_process_is_refused(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let process = |n: usize| ClientReport { boot: format!("boot-{n:020}"), ..report("c", &[]) };
    for n in 0..17 {
        s.beat(&process(n), &[], at(5)).await.expect("a heartbeat of a newer process");
        s.beat(&process(n), &[], at(5)).await.expect("and the next one");
    }
    let before = s.client(&client("c")).await.expect("an answer");
    for n in 0..16 {
        let refused = s.beat(&process(n), &[(job.id, 1)], at(6)).await.expect_err("replaced");
        assert_eq!(
            (refused.kind(), refused.code()),
            (ErrorKind::Conflict, ClientReport::REPLACED),
            "process {n}"
        );
    }
    assert_eq!(s.client(&client("c")).await.expect("an answer"), before, "nothing changes");
    assert_eq!(now(&s, &job).await.lease_epoch, job.lease_epoch, "and no lease moves");
    s.beat(&report("other", &[]), &[], at(7)).await.expect("another client is another matter");
}

pub(super) async fn beat_answers_with_asked_and_held_jobs(s: Store) {
    let mine = submit_and_take(&s, "me", planned("a", "1")).await;
    let second = submit_and_take(&s, "me", planned("b", "1")).await;
    let second = apply(&s, change(&second, Cancelling)).await;
    let other = submit_and_take(&s, "other", planned("c", "1")).await;
    let ended = submit_and_take(&s, "me", planned("d", "1")).await;
    let ended = apply(&s, ending(&ended, Uploaded, Outcome::Succeeded)).await;
    let listed = [(other.id, 1), (JobId(7_000_000), 1), (mine.id, 1), (ended.id, 1), (mine.id, 9)];
    let report = ClientReport { boot: "boot-after-restart".to_owned(), ..report("me", &[]) };
    let beat = s.beat(&report, &listed, at(5)).await.expect("a heartbeat");
    let asked: Vec<_> = beat.asked.iter().map(|j| j.as_ref().map(|j| j.id)).collect();
    assert_eq!(asked, [Some(other.id), None, Some(mine.id), Some(ended.id), Some(mine.id)]);
    let mine = now(&s, &mine).await;
    assert_eq!(beat.asked[2], Some(mine.clone()), "as it is after the heartbeat");
    let boot = "boot-me".to_owned();
    assert_eq!(beat.held, [(mine, boot.clone()), (second, boot)], "with the boot that claimed it");
    assert_eq!(beat.client.holds, 2);
}

pub(super) async fn clients_come_by_name_with_what_they_hold(s: Store) {
    for client in ["zebu", "addax", "oryx"] {
        beat(&s, client, &[]).await;
    }
    for (n, status) in [Cancelling, Uploaded, Failed].into_iter().enumerate() {
        let job = submit_and_take(&s, "oryx", planned(&format!("p{n}"), "1")).await;
        apply(&s, change(&job, status)).await;
    }
    submit_and_take(&s, "oryx", planned("p9", "1")).await;
    let clients = s.clients().await.expect("an answer");
    let seen: Vec<_> = clients.iter().map(|c| (c.name.as_str(), c.holds)).collect();
    assert_eq!(seen, [("addax", 0), ("oryx", 2), ("zebu", 0)]);
}

pub(super) async fn draining_says_whether_there_is_such_a_client(s: Store) {
    let before = beat(&s, "c", &[]).await.client;
    beat(&s, "other", &[]).await;
    for draining in [true, true, false] {
        assert!(s.set_draining(&client("c"), draining).await.expect("an answer"));
        let after = s.client(&client("c")).await.expect("an answer");
        assert_eq!(after, Some(BuildClient { draining, ..before.clone() }));
    }
    assert!(!s.set_draining(&client("nobody"), true).await.expect("an answer"));
    let clients = s.clients().await.expect("an answer");
    assert_eq!(clients.len(), 2, "nobody is added");
    assert!(clients.iter().all(|c| !c.draining), "nor another one told");
}
