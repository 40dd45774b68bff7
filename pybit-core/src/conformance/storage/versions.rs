//! Which versions are refused, and which supersede.

use crate::conformance::support::{
    Store, apply, at, bring, change, forced, name, now, planned, planned_in, planned_source,
    record, refusal, submit, submit_and_take, submit_one, take, target, target_in,
};
use crate::error::ErrorKind;
use crate::model::{Job, JobStatus};
use crate::storage::{Advance, Change, PlannedJob};

use JobStatus::{Blocked, Building, Cancelled, Cancelling, Done, Uploaded, Waiting};

/// One `hello` 1 in each status, each for an architecture of its own.
async fn one_in_each_status(s: &Store) -> Vec<Job> {
    let mut jobs = Vec::new();
    for status in JobStatus::ALL {
        let arch = status.as_str().to_ascii_lowercase();
        jobs.push(bring(s, planned_in("hello", "1", target(&arch)), status).await);
    }
    jobs
}

pub(super) async fn newer_version_supersedes_older_unfinished(s: Store) {
    let old = one_in_each_status(&s).await;
    let bystanders = [
        submit_one(&s, planned_in("other", "1", target("waiting"))).await,
        submit_one(&s, planned_in("hello", "1", target_in("sid", "waiting"))).await,
        submit_one(&s, planned_in("hello", "1", target("elsewhere"))).await,
    ];
    for before in &old {
        let new = submit_one(&s, planned_in("hello", "2", before.target.clone())).await;
        let after = now(&s, before).await;
        let expected = match before.status {
            Waiting | Blocked => Cancelled,
            Building => Cancelling,
            _ => {
                assert_eq!(after, *before, "a {} job stays as it is", before.status);
                continue;
            }
        };
        assert_eq!(after.status, expected, "{}", before.status);
        assert_eq!(after.superseded_by, Some(new.id));
        assert_eq!(after.row_version, before.row_version + 1);
        let events = s.events(before.id).await.expect("an answer");
        let last = events.last().expect("an event");
        assert_eq!(
            (last.number, last.from, last.to),
            (after.row_version, Some(before.status), expected)
        );
    }
    for job in &bystanders {
        assert_eq!(now(&s, job).await, *job, "another package, suite or architecture stays");
    }
}

async fn refused(s: &Store, job: PlannedJob, code: &str) -> String {
    let result = s.record_submission(&record(vec![job]), at(3)).await;
    refusal(result, ErrorKind::Conflict, code).message().to_owned()
}

pub(super) async fn older_version_is_refused(s: Store) {
    let counts = [Waiting, Blocked, Building, Uploaded, Done];
    for status in JobStatus::ALL {
        let package = format!("p-{}", status.as_str().to_ascii_lowercase());
        let arch = status.as_str().to_ascii_lowercase();
        let newest = bring(&s, planned_in(&package, "2.7", target(&arch)), status).await;
        // For another architecture and environment of the same suite too.
        let mut older = planned_in(&package, "2.5", target("s390x"));
        older.target.env = name("host");
        if counts.contains(&status) {
            let message = refused(&s, older.clone(), "older_version").await;
            assert!(message.contains("2.7"), "names the version: {message}");
            assert!(message.contains(&newest.id.to_string()), "names the job: {message}");
        } else {
            submit_one(&s, older.clone()).await;
        }
        submit_one(&s, planned_in(&package, "2.5", target_in("sid", "amd64"))).await;
        submit_one(&s, PlannedJob { package: name(&format!("{package}-x")), ..older.clone() })
            .await;
        submit_one(&s, forced(older)).await;
    }
}

pub(super) async fn equal_version_is_refused_with_a_pointer(s: Store) {
    let counts = [Waiting, Blocked, Building, Uploaded, Done];
    for job in one_in_each_status(&s).await {
        let again = planned_in("hello", "1", job.target.clone());
        if counts.contains(&job.status) {
            let message = refused(&s, again.clone(), "same_version").await;
            assert!(message.contains(&job.id.to_string()), "names the job: {message}");
        } else {
            submit_one(&s, again).await;
        }
    }
    submit_one(&s, planned_in("hello", "1", target("another"))).await;
    let mut environment = planned_in("hello", "1", target("done"));
    environment.target.env = name("host");
    submit_one(&s, environment).await;
}

pub(super) async fn forced_version_supersedes_its_equal(s: Store) {
    for before in one_in_each_status(&s).await {
        let new = submit_one(&s, forced(planned_in("hello", "1", before.target.clone()))).await;
        let after = now(&s, &before).await;
        match before.status {
            Waiting | Blocked => assert_eq!(after.status, Cancelled),
            Building => assert_eq!(after.status, Cancelling),
            _ => assert_eq!(after, before, "a {} job stays as it is", before.status),
        }
        if after.row_version != before.row_version {
            assert_eq!(after.superseded_by, Some(new.id));
        }
    }
    let newer = submit_one(&s, planned("up", "9")).await;
    submit_one(&s, forced(planned("up", "8"))).await;
    assert_eq!(now(&s, &newer).await, newer, "a forced older version leaves the newer one alone");
}

pub(super) async fn jobs_of_one_submission_do_not_compete(s: Store) {
    let plan = vec![
        planned_in("hello", "2", target("amd64")),
        planned_in("hello", "1", target("arm64")),
        planned_in("hello", "2", target("armhf")),
    ];
    let jobs = submit(&s, plan).await;
    for job in &jobs {
        assert_eq!(now(&s, job).await.status, Waiting, "{}", job.target);
    }
    let mixed = vec![planned_source("mixed"), planned("mixed", "2")];
    let first = submit(&s, mixed).await.remove(1);
    let source = take(&s, "c", target("source")).await;
    let follow =
        vec![planned_in("mixed", "1", target("arm64")), planned_in("mixed", "3", target("armhf"))];
    apply(&s, Change { follow, ..change(&source, Uploaded) }).await;
    assert_eq!(now(&s, &first).await, first, "nor does a job that follows");
}

pub(super) async fn following_jobs_obey_the_version_rules(s: Store) {
    let source = submit_and_take(&s, "c", planned_source("hello")).await;
    let newest = submit_one(&s, planned("hello", "5")).await;
    let following = |version: &str| Change {
        follow: vec![planned_in("fine", "1", target("amd64")), planned("hello", version)],
        ..change(&source, Uploaded)
    };
    let result = s.advance(&following("4"), at(3)).await;
    refusal(result, ErrorKind::Conflict, "older_version");
    let result = s.advance(&following("5"), at(3)).await;
    refusal(result, ErrorKind::Conflict, "same_version");
    assert_eq!(now(&s, &source).await, source, "a refused job fails the whole change");
    assert_eq!(s.events(source.id).await.expect("an answer").len(), 2, "with its event");
    assert_eq!(s.outbox(10).await.expect("an answer").len(), 2, "and without a hint");

    let done = s.advance(&following("6"), at(3)).await.expect("accepted");
    let Advance::Done(after, followed) = done else { panic!("nobody was faster") };
    assert_eq!((after.status, followed.len()), (Uploaded, 2));
    for job in &followed {
        assert_eq!((job.submission, job.status), (source.submission, Waiting));
        assert_eq!(now(&s, job).await, *job);
    }
    let replaced = now(&s, &newest).await;
    assert_eq!((replaced.status, replaced.superseded_by), (Cancelled, Some(followed[1].id)));
    assert_eq!(now(&s, &source).await.status, Uploaded, "its own source job is not superseded");
}
