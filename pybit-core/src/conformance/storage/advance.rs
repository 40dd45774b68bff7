//! One decided change takes effect whole and once, or not at all.

use crate::conformance::support::{
    Store, apply, at, bring, change, client, declare, ending, file, name, now, part, planned,
    planned_in, planned_source, refusal, report, submit_and_take, submit_one, take, target,
    together,
};
use crate::error::ErrorKind;
use crate::farm::machine::FARM;
use crate::model::{Avoid, Failure, FailureClass, Job, JobStatus, Outcome, Produced};
use crate::storage::{Advance, AttemptEnd, Change, HealthMark};

use JobStatus::{Blocked, Building, Cancelled, Cancelling, Failed, Uploaded, Waiting};

async fn stale(s: &Store, change: &Change) -> Job {
    match s.advance(change, at(3)).await.expect("an answer") {
        Advance::Stale(job) => *job,
        Advance::Done(job, _) => panic!("it took effect: {job:?}"),
    }
}

pub(super) async fn change_on_an_old_row_is_stale(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    for off in [-1, 1, 100] {
        let wrong = Change { expected: job.row_version + off, ..change(&job, Uploaded) };
        assert_eq!(stale(&s, &wrong).await, job, "row version off by {off}");
    }
    s.beat(&report("c", &[]), &[(job.id, 1)], at(2)).await.expect("a heartbeat");
    let job = now(&s, &job).await;
    let lapse =
        |epoch| Change { expected_lease: Some(epoch), ..ending(&job, Waiting, Outcome::Lost) };
    assert_eq!(stale(&s, &lapse(job.lease_epoch - 1)).await, job, "the lease has moved");
    assert_eq!(s.events(job.id).await.expect("an answer").len(), 2, "nothing was written");
    assert_eq!(s.attempts(job.id).await.expect("an answer")[0].outcome, None);
    apply(&s, lapse(job.lease_epoch)).await;
    // A stale change is stale even where it would be illegal besides.
    assert_eq!(stale(&s, &change(&job, Uploaded)).await.status, Waiting);
    let mut unknown = change(&job, Uploaded);
    unknown.after.id = crate::model::JobId(7_000_000);
    let error = s.advance(&unknown, at(3)).await.expect_err("there is no such job");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

pub(super) async fn concurrent_changes_take_effect_once(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let ends = [Uploaded, Failed, Cancelling, Waiting];
    let results = together(8, |n| {
        let (s, change) = (Store::clone(&s), change(&job, ends[n % ends.len()]));
        async move {
            loop {
                match s.advance(&change, at(3)).await {
                    Err(e) if e.is_retryable() => {}
                    result => return result.expect("done or stale"),
                }
            }
        }
    })
    .await;
    let done: Vec<_> = results
        .iter()
        .filter_map(|r| if let Advance::Done(j, _) = r { Some(j) } else { None })
        .collect();
    assert_eq!(done.len(), 1, "exactly one of 8 takes effect");
    for result in &results {
        let (Advance::Done(seen, _) | Advance::Stale(seen)) = result;
        assert_eq!(seen, done[0], "and the others are told what it made");
    }
    assert_eq!(now(&s, &job).await, **done[0]);
    assert_eq!(s.events(job.id).await.expect("an answer").len(), 3);
}

/// A change of every field that may change.
fn everything(job: &Job) -> Change {
    let failure = Failure { class: FailureClass::Infra, message: "the mirror was away".to_owned() };
    let mut all = change(job, Waiting);
    let after = &mut all.after;
    after.infra_retries = 3;
    after.dep_waits = 4;
    after.lost_by = vec![name("c"), name("d")];
    after.avoid = Some(Avoid { client: name("c"), until: at(77) });
    after.not_before = at(66);
    after.priority = 8;
    after.weight = 9;
    after.unmet = vec!["libx (>= 1)".to_owned()];
    after.failure = Some(failure.clone());
    after.produced =
        vec![Produced { name: name("hello-bin"), version: name("1"), arch: "all".to_owned() }];
    all.attempt_end = Some(AttemptEnd {
        outcome: Outcome::Failed,
        failure: Some(failure),
        log_sha256: Some("ab".repeat(32)),
    });
    all
}

pub(super) async fn change_writes_job_event_and_attempt_together(s: Store) {
    s.beat(&report("c", &[]), &[], at(0)).await.expect("a heartbeat");
    let job = submit_and_take(&s, "c", planned_source("label")).await;
    let mut all = everything(&job);
    all.after.package = name("hello");
    all.after.version = Some(name("1"));
    all.version_key = Some(b"1".to_vec());
    all.health = Some(HealthMark::Ill { quarantined_until: at(55) });
    let result = s.advance(&all, at(9)).await.expect("an answer");
    let Advance::Done(done, followed) = result else { panic!("nobody was faster") };
    assert_eq!(followed, []);
    let expected = Job {
        changed_at: at(9),
        lease_epoch: job.lease_epoch + 1,
        row_version: job.row_version + 1,
        ..all.after.clone()
    };
    assert_eq!(*done, expected);
    assert_eq!(now(&s, &job).await, expected);
    let events = s.events(job.id).await.expect("an answer");
    let event = events.last().expect("an event");
    assert_eq!((event.number, event.attempt), (expected.row_version, 1));
    assert_eq!((event.from, event.to, event.at), (Some(Building), Waiting, at(9)));
    assert_eq!((event.actor.as_str(), event.cause.as_str()), ("test", "to Waiting"));
    let attempt = s.attempts(job.id).await.expect("an answer").remove(0);
    let end = all.attempt_end.expect("it ends");
    assert_eq!((attempt.outcome, attempt.failure), (Some(Outcome::Failed), end.failure));
    assert_eq!((attempt.log_sha256, attempt.ended_at), (end.log_sha256, Some(at(9))));
    let c = s.client(&client("c")).await.expect("an answer").expect("it has reported");
    assert_eq!((c.infra_streak, c.quarantined_until, c.holds), (1, at(55), 0));
}

pub(super) async fn every_change_moves_the_lease(s: Store) {
    let mut job = submit_and_take(&s, "c", planned("hello", "1")).await;
    for (n, status) in (0..).zip([Waiting, Building, Cancelling, Cancelled]) {
        let mut to = change(&job, status);
        to.after.lease_epoch = 500;
        to.after.changed_at = at(500);
        let result = s.advance(&to, at(10 + n)).await.expect("an answer");
        let Advance::Done(after, _) = result else { panic!("nobody was faster") };
        assert_eq!(after.lease_epoch, job.lease_epoch + 1, "{status}");
        assert_eq!((after.changed_at, after.row_version), (at(10 + n), job.row_version + 1));
        assert_eq!(now(&s, &job).await, *after);
        job = *after;
    }
}

pub(super) async fn change_needs_complete_files_when_asked(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let whole = declare(&s, &job, "whole.deb", 3).await;
    let broken = declare(&s, &job, "broken.deb", 3).await;
    let finish = Change { needs_files: true, ..ending(&job, Uploaded, Outcome::Succeeded) };
    s.append_part(whole, &part(0, 3)).await.expect("appended");
    assert!(s.seal(whole, 3, "object", &file("whole.deb", 3).sha256).await.expect("sealed"));
    for step in ["declared", "filled"] {
        let error =
            refusal(s.advance(&finish, at(3)).await, ErrorKind::Conflict, "files_incomplete");
        assert!(error.message().contains("broken.deb"), "{step}: names the file: {error}");
        assert_eq!(now(&s, &job).await, job, "{step}: nothing changes");
        assert_eq!(s.attempts(job.id).await.expect("an answer")[0].outcome, None);
        if step == "declared" {
            s.append_part(broken, &part(0, 3)).await.expect("appended");
        }
    }
    assert!(s.seal(broken, 3, "object", &file("broken.deb", 3).sha256).await.expect("sealed"));
    // The open log is no file.
    assert_eq!(apply(&s, finish).await.status, Uploaded);

    let plain = submit_and_take(&s, "c", planned("plain", "1")).await;
    declare(&s, &plain, "broken.deb", 3).await;
    assert_eq!(
        apply(&s, ending(&plain, Failed, Outcome::Failed)).await.status,
        Failed,
        "not asked"
    );
}

pub(super) async fn a_resting_job_moves_past_an_attempt_never_given(s: Store) {
    for (status, arch) in [(Waiting, "amd64"), (Blocked, "arm64")] {
        let job = bring(&s, planned_in("hello", "1", target(arch)), status).await;
        let events = s.events(job.id).await.expect("an answer");
        let moved = s.outrun(job.id, 4, "why", at(9)).await.expect("an answer").expect("it moves");
        let expected = Job {
            attempt: 5,
            client: None,
            row_version: job.row_version + 1,
            lease_epoch: job.lease_epoch + 1,
            changed_at: at(9),
            ..job.clone()
        };
        assert_eq!(moved, expected);
        assert_eq!(now(&s, &job).await, expected);
        let mut after = s.events(job.id).await.expect("an answer");
        let event = after.pop().expect("an event of it");
        assert_eq!(after, events, "the earlier ones stay");
        assert_eq!((event.number, event.attempt), (moved.row_version, 5));
        assert_eq!((event.from, event.to), (Some(status), status));
        assert_eq!((event.actor.as_str(), event.cause.as_str()), (FARM, "why"));
        assert_eq!(s.outrun(job.id, 5, "why", at(9)).await.expect("an answer"), None);
    }
    let next = take(&s, "c", target("amd64")).await;
    assert_eq!(next.attempt, 6);
    let attempts = s.attempts(next.id).await.expect("an answer");
    assert_eq!(attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [6]);
}

pub(super) async fn other_jobs_keep_their_attempt(s: Store) {
    for status in JobStatus::ALL.into_iter().filter(|s| !matches!(s, Waiting | Blocked)) {
        let arch = status.as_str().to_ascii_lowercase();
        let job = bring(&s, planned_in("hello", "1", target(&arch)), status).await;
        assert_eq!(s.outrun(job.id, 4, "why", at(9)).await.expect("an answer"), None, "{status}");
        assert_eq!(now(&s, &job).await, job, "{status}: nothing changes");
    }
    let job = submit_one(&s, planned("world", "1")).await;
    assert_eq!(s.outrun(job.id, job.attempt, "why", at(9)).await.expect("an answer"), None);
    let unknown = crate::model::JobId(7_000_000);
    assert_eq!(s.outrun(unknown, 4, "why", at(9)).await.expect("an answer"), None);
}

pub(super) async fn illegal_transition_is_refused(s: Store) {
    for from in JobStatus::ALL {
        let arch = from.as_str().to_ascii_lowercase();
        let job = bring(&s, planned_in("hello", "1", target(&arch)), from).await;
        for to in JobStatus::ALL.into_iter().filter(|to| !from.may_become(*to)) {
            let error = s.advance(&change(&job, to), at(3)).await.expect_err("it is illegal");
            assert_eq!(error.kind(), ErrorKind::Internal, "{from} to {to}: {error:?}");
            assert_eq!(now(&s, &job).await, job, "{from} to {to}: nothing changes");
        }
        let events = s.events(job.id).await.expect("an answer");
        assert_eq!(events.len() as u64, job.row_version.unsigned_abs(), "no event of a refusal");
    }
}

pub(super) async fn texts_may_hold_any_character(s: Store) {
    let odd = "a\0b \u{1f980} \u{202e} '; -- \r\n \u{1}";
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let mut failed = ending(&job, Failed, Outcome::Failed);
    let failure = Failure { class: FailureClass::Build, message: odd.to_owned() };
    failed.after.failure = Some(failure.clone());
    if let Some(end) = &mut failed.attempt_end {
        end.failure = Some(failure);
    }
    failed.actor = odd.to_owned();
    failed.cause = odd.to_owned();
    let after = apply(&s, failed).await;
    let event = s.events(job.id).await.expect("an answer").pop().expect("an event");
    let attempt = s.attempts(job.id).await.expect("an answer").remove(0);
    let kept = [
        after.failure.expect("it failed").message,
        event.actor,
        event.cause,
        attempt.failure.expect("so did the attempt").message,
    ];
    for text in kept {
        assert_eq!(text.replace('\0', "\u{fffd}"), odd.replace('\0', "\u{fffd}"));
    }
}
