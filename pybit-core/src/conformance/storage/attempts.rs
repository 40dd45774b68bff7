//! How attempts end and go on, and what that says of the client.

use crate::conformance::support::{
    Store, apply, at, change, client, ending, name, now, planned, report, submit_and_take, take,
    target,
};
use crate::error::ErrorKind;
use crate::model::{BuildClient, Failure, FailureClass, JobStatus, Outcome};
use crate::storage::{AttemptEnd, Change, HealthMark};

use JobStatus::{Building, Failed, Uploaded, Waiting};

pub(super) async fn a_reopened_attempt_goes_on(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let before = s.attempts(job.id).await.expect("an answer");
    let failure = Failure { class: FailureClass::Infra, message: "silent".to_owned() };
    let lost = Change {
        attempt_end: Some(AttemptEnd {
            outcome: Outcome::Lost,
            failure: Some(failure),
            log_sha256: Some("ab".repeat(32)),
        }),
        ..change(&job, Waiting)
    };
    let lost = apply(&s, lost).await;
    let back = Change { reopen_attempt: true, ..change(&lost, Building) };
    let back = apply(&s, back).await;
    assert_eq!((back.attempt, back.status, back.client.clone()), (1, Building, Some(name("c"))));
    assert_eq!(s.attempts(job.id).await.expect("an answer"), before, "as if it had never ended");
    apply(&s, ending(&back, Uploaded, Outcome::Succeeded)).await;
    let ended = s.attempts(job.id).await.expect("an answer");
    assert_eq!(ended[0].outcome, Some(Outcome::Succeeded), "and it ends again");
}

pub(super) async fn one_attempt_succeeds_at_most(s: Store) {
    let first = submit_and_take(&s, "c", planned("hello", "1")).await;
    apply(&s, ending(&first, Waiting, Outcome::Succeeded)).await;
    let second = take(&s, "d", target("amd64")).await;
    let again = s.advance(&ending(&second, Uploaded, Outcome::Succeeded), at(3)).await;
    assert_eq!(again.expect_err("a second success").kind(), ErrorKind::Conflict);
    assert_eq!(now(&s, &second).await, second, "nothing changes");
    let given_back = apply(&s, ending(&second, Waiting, Outcome::Refused)).await;
    let twice = s.advance(&ending(&given_back, Failed, Outcome::Failed), at(3)).await;
    assert_eq!(twice.expect_err("a second end").kind(), ErrorKind::Conflict);
    assert_eq!(now(&s, &given_back).await, given_back, "nothing changes");
    let outcomes: Vec<_> =
        s.attempts(first.id).await.expect("an answer").iter().map(|a| a.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Succeeded), Some(Outcome::Refused)]);
}

async fn the_client(s: &Store, text: &str) -> BuildClient {
    s.client(&client(text)).await.expect("an answer").expect("it has reported")
}

pub(super) async fn health_counts_failures_in_a_row(s: Store) {
    for client in ["c", "bystander"] {
        s.beat(&report(client, &[]), &[], at(0)).await.expect("a heartbeat");
    }
    let mut job = submit_and_take(&s, "c", planned("hello", "1")).await;
    for n in 1..=3 {
        let ill = HealthMark::Ill { quarantined_until: at(i64::from(n) * 100) };
        let mut failed = Change { health: Some(ill), ..ending(&job, Waiting, Outcome::Failed) };
        // The mark is for the client that held the job, whatever the change makes of that field.
        failed.after.client = Some(name("bystander"));
        apply(&s, failed).await;
        let c = the_client(&s, "c").await;
        assert_eq!((c.infra_streak, c.quarantined_until), (n, at(i64::from(n) * 100)));
        job = take(&s, "c", target("amd64")).await;
    }
    let unmarked = apply(&s, ending(&job, Waiting, Outcome::Refused)).await;
    assert_eq!(the_client(&s, "c").await.infra_streak, 3, "no mark changes nothing");
    assert_eq!(the_client(&s, "bystander").await.infra_streak, 0);
    let job = take(&s, "c", unmarked.target).await;
    let well = ending(&job, Uploaded, Outcome::Succeeded);
    apply(&s, Change { health: Some(HealthMark::Well), ..well }).await;
    let c = the_client(&s, "c").await;
    assert_eq!(c.infra_streak, 0, "the streak ends");
    assert!(c.quarantined_until <= at(0), "and the quarantine with it");
}
