//! Submissions and their idempotency keys.

use crate::conformance::support::{
    Store, at, claim, forced, now, planned, planned_in, planned_source, record, refusal, request,
    target, together,
};
use crate::error::ErrorKind;
use crate::model::{JobFilter, JobId, JobStatus, NameGrant, Page};
use crate::storage::{Recorded, SubmissionRecord};

pub(super) async fn submission_is_recorded_whole(s: Store) {
    let plan = vec![planned_source("hello"), planned("hello", "1")];
    let recorded = s.record_submission(&record(plan.clone()), at(5)).await.expect("accepted");
    assert!(!recorded.repeated);
    let kept = s.submission(recorded.submission.id).await.expect("an answer");
    assert_eq!(kept.as_ref(), Some(&recorded.submission), "the submission is kept");
    assert_eq!(recorded.submission.request, request("hello"));
    assert_eq!(
        (recorded.submission.principal.as_str(), recorded.submission.created_at),
        ("alice", at(5))
    );
    assert_eq!(recorded.jobs.len(), plan.len(), "one job for each of the plan, in its order");
    let outbox = s.outbox(10).await.expect("an answer");
    assert_eq!(outbox.len(), plan.len(), "one hint a job");
    for ((job, planned), hint) in recorded.jobs.iter().zip(&plan).zip(&outbox) {
        assert_eq!(now(&s, job).await, *job);
        assert_eq!(
            (job.kind, &job.package, &job.target),
            (planned.kind, &planned.package, &planned.target)
        );
        assert_eq!(job.version.as_ref(), planned.version.as_ref().map(|(version, _)| version));
        assert_eq!((job.status, job.row_version, job.attempt), (JobStatus::Waiting, 1, 0));
        assert_eq!((job.created_at, job.changed_at), (at(5), at(5)));
        assert_eq!(job.submission, recorded.submission.id);
        let events = s.events(job.id).await.expect("an answer");
        assert_eq!(events.len(), 1, "the first event");
        assert_eq!((events[0].number, events[0].from, events[0].to), (1, None, JobStatus::Waiting));
        assert_eq!(
            (events[0].actor.as_str(), events[0].at, events[0].attempt),
            ("alice", at(5), 0)
        );
        assert_eq!((hint.job, &hint.route), (job.id, &job.target.route()));
    }
    refused_leaves_nothing(&s, recorded.jobs.len()).await;
}

/// The second job of the plan is refused: of the first and of the key nothing may be left.
async fn refused_leaves_nothing(s: &Store, jobs_before: usize) {
    let mut bad = record(vec![planned("good", "1"), planned("hello", "0")]);
    bad.idempotency_key = Some("key".to_owned());
    let refused = s.record_submission(&bad, at(6)).await;
    refusal(refused, ErrorKind::Conflict, "older_version");
    let jobs = s.jobs(&JobFilter::default(), &Page::first(200)).await.expect("an answer");
    assert_eq!(jobs.len(), jobs_before, "no job of a refused submission");
    assert_eq!(s.outbox(10).await.expect("an answer").len(), jobs_before, "and no hint");
    bad.jobs.pop();
    let again = s.record_submission(&bad, at(7)).await.expect("the key is free");
    assert!(!again.repeated, "a refused submission does not use up its key");
}

pub(super) async fn a_new_job_is_claimable_whatever_the_clock(s: Store) {
    let new = record(vec![planned("hello", "1")]);
    s.record_submission(&new, at(1000)).await.expect("accepted");
    let claimed = s.claim(&claim("c", &[target("amd64")]), at(-1000)).await.expect("a claim");
    assert!(claimed.is_some(), "a server whose clock is 2000 s behind hands it out");
}

fn keyed(key: &str) -> SubmissionRecord {
    let jobs = vec![planned("hello", "1"), planned_in("hello", "1", target("arm64"))];
    SubmissionRecord { idempotency_key: Some(key.to_owned()), ..record(jobs) }
}

fn numbers(recorded: &Recorded) -> Vec<JobId> {
    recorded.jobs.iter().map(|j| j.id).collect()
}

pub(super) async fn same_key_returns_the_first_result(s: Store) {
    let callers = together(8, |_| {
        let s = Store::clone(&s);
        async move { s.record_submission(&keyed("k"), at(0)).await.expect("accepted") }
    })
    .await;
    let first: Vec<_> = callers.iter().filter(|r| !r.repeated).collect();
    assert_eq!(first.len(), 1, "one of 8 callers is the first");
    for one in &callers {
        assert_eq!(one.submission, first[0].submission, "the same submission");
        assert_eq!(numbers(one), numbers(first[0]), "the same jobs in the same order");
    }
    let jobs = s.jobs(&JobFilter::default(), &Page::first(200)).await.expect("an answer");
    assert_eq!(jobs.len(), 2, "nothing is recorded twice");
    assert_eq!(s.outbox(10).await.expect("an answer").len(), 2, "nor hinted twice");
    let bob = SubmissionRecord {
        principal: "bob".to_owned(),
        names: vec![NameGrant::all()],
        jobs: vec![planned("b", "1")],
        ..keyed("k")
    };
    let his = s.record_submission(&bob, at(1)).await.expect("accepted");
    assert!(!his.repeated, "another principal's key is another key");
    let kept = s.submission(his.submission.id).await.expect("an answer");
    assert_eq!(kept.expect("it is there").names, bob.names, "what he may is kept with it");
    let with_force = || SubmissionRecord { jobs: vec![forced(planned("f", "1"))], ..keyed("f") };
    let first = s.record_submission(&with_force(), at(1)).await.expect("accepted");
    let again = s.record_submission(&with_force(), at(2)).await.expect("accepted");
    assert_eq!((first.repeated, again.repeated), (false, true), "with force as well");
    assert_eq!(numbers(&again), numbers(&first));
}

pub(super) async fn same_key_other_request_is_refused(s: Store) {
    let first = s.record_submission(&keyed("k"), at(0)).await.expect("accepted");
    let mut other = keyed("k");
    other.request.priority = 1;
    let refused = s.record_submission(&other, at(1)).await;
    refusal(refused, ErrorKind::Conflict, "idempotency_key_reused");
    let again = s.record_submission(&keyed("k"), at(2)).await.expect("the first still stands");
    assert_eq!((again.repeated, numbers(&again)), (true, numbers(&first)));
}
