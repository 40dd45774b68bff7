//! Calls that are given up half-way, as those of a connection that ends are: each has taken effect whole or not at all,
//! and the next one finds the storage as usual.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use pybit_core::conformance::support::{
    at, claim, ending, planned, planned_in, record, target, within,
};
use pybit_core::model::{JobFilter, JobStatus, Outcome, Page, WeightedTarget};
use pybit_core::storage::SubmissionRecord;

use super::Servers;

/// No call wakes so often.
const MOST: usize = 300;

/// Drops `work` where it has been polled so often and is woken once more; what it came to, if it was done before.
async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

pub(super) async fn a_submission_is_recorded_whole_or_not_at_all(servers: &Servers) {
    let server = servers.of(0);
    for polls in 0..MOST {
        let package = format!("p{polls}");
        let keyed = SubmissionRecord {
            idempotency_key: Some(format!("key-{polls}")),
            ..record(vec![planned(&package, "1"), planned_in(&package, "1", target("arm64"))])
        };
        let done = dropped_after(polls, server.record_submission(&keyed, at(0))).await.is_some();
        let again = within("the next call", server.record_submission(&keyed, at(0))).await.unwrap();
        assert!(again.repeated || !done, "after {polls}");
        let filter = JobFilter { package: Some(package.parse().unwrap()), ..JobFilter::default() };
        let jobs = server.jobs(&filter, &Page::first(9)).await.unwrap();
        assert_eq!(jobs.len(), 2, "after {polls}");
        let hints = server.outbox(1000).await.unwrap();
        let of_these = hints.iter().filter(|h| jobs.iter().any(|j| j.id == h.job)).count();
        assert_eq!(of_these, 2, "after {polls}");
        if done {
            // A task of its own records what goes together: its callers wake once.
            assert!(polls > 1, "nothing was given up");
            return;
        }
        let sent: Vec<_> = hints.iter().map(|h| h.id).collect();
        server.mark_sent(&sent).await.unwrap();
    }
    panic!("a submission wakes more than {MOST} times");
}

pub(super) async fn a_claim_that_was_given_up_gives_the_same_job_again(servers: &Servers) {
    let server = servers.of(0);
    let many = (0..MOST).map(|n| planned(&format!("p{n}"), "1")).collect();
    server.record_submission(&record(many), at(0)).await.unwrap();
    for polls in 0..MOST {
        let wish = claim("box", &[target("amd64")]);
        let done = dropped_after(polls, server.claim(&wish, at(1))).await;
        let job = within("the next call", server.claim(&wish, at(1))).await.unwrap().unwrap();
        if let Some(done) = &done {
            assert_eq!(done.as_ref().unwrap().as_ref(), Some(&job), "after {polls}");
        }
        let held = JobFilter { status: Some(JobStatus::Building), ..JobFilter::default() };
        let held = server.jobs(&held, &Page::first(9)).await.unwrap();
        assert_eq!(
            held,
            std::slice::from_ref(&job),
            "after {polls}: no job is lost with its answer"
        );
        let attempts = server.attempts(job.id).await.unwrap();
        assert_eq!((job.attempt, attempts.len()), (1, 1), "after {polls}");

        let end = ending(&job, JobStatus::Uploaded, Outcome::Succeeded);
        let ended = dropped_after(polls, server.advance(&end, at(2))).await.is_some();
        let after = within("the next call", server.job(job.id)).await.unwrap().unwrap();
        let outcome = server.attempts(job.id).await.unwrap()[0].outcome;
        let events = server.events(job.id).await.unwrap().len();
        match after.status {
            JobStatus::Uploaded => assert!(outcome.is_some() && events == 3, "after {polls}"),
            JobStatus::Building => {
                assert!(outcome.is_none() && events == 2 && !ended, "after {polls}");
                server.advance(&end, at(2)).await.unwrap();
            }
            other => panic!("after {polls}: {other}"),
        }
        if done.is_some() && ended {
            // What goes together with others is done by a task of its own, which nobody gives up: its callers wake once.
            assert!(polls > 1, "nothing was given up");
            return;
        }
    }
    panic!("a claim wakes more than {MOST} times");
}

pub(super) async fn no_connection_stays_in_a_transaction_that_was_given_up(servers: &Servers) {
    let server = servers.of(0);
    let weighted = |weight| WeightedTarget { target: target("amd64"), weight };
    let mut given_up = 0;
    for polls in 0..MOST {
        // Several at once, so that several connections are left half-way.
        let one = weighted(1);
        let calls = (0..4).map(|_| dropped_after(polls, server.put_target(&one)));
        let done: Vec<_> = futures_util::future::join_all(calls).await;
        given_up += done.iter().filter(|d| d.is_none()).count();
        for n in 0..40 {
            let other = weighted(n);
            // A reader begins no transaction: it would make a forgotten one begin in earnest.
            // Two, as connections are taken in turn: each comes to read and to write.
            within("the next reader", server.counts()).await.unwrap();
            within("the next reader", server.counts()).await.unwrap();
            let put = server.put_target(&other);
            within("the next call", put).await.unwrap_or_else(|e| panic!("after {polls}: {e:?}"));
        }
        if done.iter().all(Option::is_some) {
            assert!(given_up > 4, "nothing was given up");
            return;
        }
    }
    panic!("a target wakes more than {MOST} times");
}
