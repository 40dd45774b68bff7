//! Decided changes: together or not at all.

use crate::farm::{self, Farm, at, binary, client, end, later, source};
use pybit_core::ErrorKind;
use pybit_core::model::{Failure, FailureClass, JobId, JobStatus, Outcome};
use pybit_core::storage::{Advance, AttemptEnd, Change, ClientStore, HealthMark, JobStore};

#[tokio::test]
async fn a_change_writes_job_event_attempt_and_client_together() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    farm.beat("box", &[]).await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let failure = Failure { class: FailureClass::Infra, message: "no mirror".to_owned() };
    let change = Change {
        attempt_end: Some(AttemptEnd {
            outcome: Outcome::Failed,
            failure: Some(failure.clone()),
            log_sha256: None,
        }),
        health: Some(HealthMark::Ill { quarantined_until: later(60) }),
        ..farm::change(&held, JobStatus::Waiting)
    };
    let mut change = change;
    change.after.infra_retries = 1;
    change.after.lost_by = vec![client("box")];
    change.after.failure = Some(failure.clone());
    let Advance::Done(after, _) = farm.store.advance(&change, later(5)).await.unwrap() else {
        panic!("nobody was faster");
    };
    assert_eq!(*after, farm.job(held.id).await);
    assert_eq!((after.row_version, after.lease_epoch), (3, held.lease_epoch + 1));
    assert_eq!((after.changed_at, &after.lost_by), (later(5), &vec![client("box")]));
    let attempt = farm.store.attempts(held.id).await.unwrap().remove(0);
    assert_eq!((attempt.outcome, attempt.failure), (Some(Outcome::Failed), Some(failure)));
    assert_eq!(attempt.ended_at, Some(later(5)));
    let events = farm.store.events(held.id).await.unwrap();
    assert_eq!(events.iter().map(|e| e.number).collect::<Vec<_>>(), [1, 2, 3]);
    let told = farm.store.client(&client("box")).await.unwrap().unwrap();
    assert_eq!((told.infra_streak, told.quarantined_until, told.holds), (1, later(60), 0));
    assert_eq!(farm.store.outbox(9).await.unwrap().len(), 2);

    let Advance::Stale(now) = farm.store.advance(&change, later(6)).await.unwrap() else {
        panic!("the row has moved on");
    };
    assert_eq!(now, after);
}

#[tokio::test]
async fn a_lapse_needs_the_lease_that_it_saw() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let mut lapse = farm::change(&held, JobStatus::Waiting);
    lapse.expected_lease = Some(held.lease_epoch);
    let beat = farm.beat("box", &[(held.id, 1), (JobId(77), 1)]).await;
    assert_eq!(beat.asked[0].as_ref().unwrap().lease_epoch, held.lease_epoch + 1);
    assert_eq!((beat.asked[1].is_none(), beat.held.len(), beat.client.holds), (true, 1, 1));
    assert!(matches!(farm.store.advance(&lapse, at()).await.unwrap(), Advance::Stale(_)));
    let beat = farm.beat("stranger", &[(held.id, 1)]).await;
    assert_eq!(beat.asked[0].as_ref().unwrap().lease_epoch, held.lease_epoch + 1);
    lapse.expected_lease = Some(held.lease_epoch + 1);
    lapse.attempt_end = Some(end(Outcome::Lost));
    assert!(matches!(farm.store.advance(&lapse, at()).await.unwrap(), Advance::Done(..)));

    let waiting = farm.job(held.id).await;
    farm.to(&waiting, JobStatus::Building, |c| c.reopen_attempt = true).await;
    let attempt = farm.store.attempts(held.id).await.unwrap().remove(0);
    assert_eq!((attempt.outcome, attempt.ended_at, attempt.number), (None, None, 1));
}

#[tokio::test]
async fn what_the_table_does_not_have_is_refused() {
    let farm = Farm::fresh().await;
    let job = farm.submit("a", "1").await;
    let error = farm.store.advance(&farm::change(&job, JobStatus::Done), at()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    let mut nobody = farm::change(&job, JobStatus::Failed);
    nobody.after.id = JobId(99);
    let error = farm.store.advance(&nobody, at()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_source_job_becomes_its_package_and_its_jobs_follow() {
    let farm = Farm::fresh().await;
    let job = farm.record_one(source("label")).await;
    let held = farm.claim("box", &["source"]).await.unwrap();
    assert_eq!(held.id, job.id);
    let Advance::Done(after, followed) = farm
        .try_to(&held, JobStatus::Uploaded, |c| {
            c.after.package = "hello".parse().unwrap();
            c.after.version = Some("2".parse().unwrap());
            c.version_key = Some(b"2".to_vec());
            c.attempt_end = Some(end(Outcome::Succeeded));
            c.follow = ["amd64", "arm64"]
                .map(|arch| {
                    let mut follow = binary("hello", "2", arch);
                    follow.source_job = Some(held.id);
                    follow
                })
                .to_vec();
        })
        .await
        .unwrap()
    else {
        panic!("nobody was faster");
    };
    assert_eq!((after.package.as_str(), after.version.unwrap().as_str()), ("hello", "2"));
    assert_eq!(followed.len(), 2);
    assert!(
        followed.iter().all(|j| j.submission == job.submission && j.source_job == Some(job.id))
    );
    assert_eq!(farm.store.outbox(9).await.unwrap().len(), 3);

    farm.record_one(source("label")).await;
    let held = farm.claim("box", &["source"]).await.unwrap();
    let refused =
        farm.try_to(&held, JobStatus::Uploaded, |c| c.follow = vec![binary("hello", "1", "amd64")]);
    assert_eq!(refused.await.unwrap_err().code(), "older_version");
    assert_eq!(farm.job(held.id).await, held);
}

#[tokio::test]
async fn one_attempt_succeeds_at_most() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    farm.to(&held, JobStatus::Waiting, |c| c.attempt_end = Some(end(Outcome::Succeeded))).await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let error = farm
        .try_to(&held, JobStatus::Uploaded, |c| c.attempt_end = Some(end(Outcome::Succeeded)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(farm.job(held.id).await.status, JobStatus::Building);
}
