//! Who gets which job.

use std::collections::BTreeSet;

use crate::conformance::support::{
    Store, apply, at, attempt_of, change, claim, ending, name, now, planned, planned_in, submit,
    submit_and_take, submit_one, take, target, together,
};
use crate::error::ErrorKind;
use crate::model::{Avoid, Job, JobStatus, Outcome, StreamRole};
use crate::storage::{Advance, Claim, PlannedJob};

use JobStatus::{Building, Cancelling, Waiting};

async fn claims(s: &Store, claim: &Claim, seconds: i64) -> Option<Job> {
    s.claim(claim, at(seconds)).await.expect("an answer")
}

pub(super) async fn claim_takes_the_best(s: Store) {
    let ranks = [
        (0, 5, "amd64"),
        (0, 7, "arm64"),
        (2, 0, "amd64"),
        (0, 7, "amd64"),
        (-5, 90, "arm64"),
        (2, 0, "arm64"),
    ];
    for (n, (priority, weight, arch)) in ranks.into_iter().enumerate() {
        let base = planned_in(&format!("p{n}"), "1", target(arch));
        submit_one(&s, PlannedJob { weight, priority, ..base }).await;
    }
    let mut order = Vec::new();
    // The order of the offers says nothing.
    let offers = [target("arm64"), target("source"), target("amd64")];
    while let Some(job) = claims(&s, &claim("c", &offers), 1).await {
        order.push(job.package.to_string());
    }
    assert_eq!(order, ["p2", "p5", "p1", "p3", "p0", "p4"]);
}

pub(super) async fn a_clients_own_weights_are_added(s: Store) {
    for (n, (priority, weight, arch)) in
        [(0, 7, "amd64"), (0, 5, "arm64"), (1, -9, "amd64"), (0, 1, "riscv64")]
            .into_iter()
            .enumerate()
    {
        let base = planned_in(&format!("p{n}"), "1", target(arch));
        submit_one(&s, PlannedJob { weight, priority, ..base }).await;
    }
    let offers = [target("amd64"), target("arm64"), target("riscv64")];
    let mut order = Vec::new();
    for _ in 0..4 {
        let asked = Claim { weights: vec![0, 3], ..claim("c", &offers) };
        order.extend(claims(&s, &asked, 1).await.map(|job| job.package.to_string()));
    }
    assert_eq!(order, ["p2", "p1", "p0", "p3"], "the last offer has no weight of its own");
}

pub(super) async fn claim_needs_an_exact_offer(s: Store) {
    let job = submit_one(&s, planned("hello", "1")).await;
    let near: [fn(&mut crate::model::Target); 5] = [
        |t| t.dist = name("Devuan"),
        |t| t.suite = name("bookworm-backports"),
        |t| t.arch = name("arm64"),
        |t| t.format = name("rpm"),
        |t| t.env = name("host"),
    ];
    let near: Vec<_> = near
        .into_iter()
        .map(|change| {
            let mut target = target("amd64");
            change(&mut target);
            target
        })
        .collect();
    assert_eq!(claims(&s, &claim("c", &near), 1).await, None);
    assert_eq!(claims(&s, &claim("c", &[]), 1).await, None);
    let all: Vec<_> = near.into_iter().chain([target("amd64")]).collect();
    assert_eq!(claims(&s, &claim("c", &all), 1).await.map(|j| j.id), Some(job.id));
}

/// A job that was given back, with what the change says besides.
async fn given_back(s: &Store, adjust: impl FnOnce(&mut Job)) -> Job {
    let job = submit_and_take(s, "first", planned("hello", "1")).await;
    let mut back = ending(&job, Waiting, Outcome::Refused);
    adjust(&mut back.after);
    apply(s, back).await
}

pub(super) async fn claim_waits_for_not_before(s: Store) {
    let job = given_back(&s, |job| job.not_before = at(50)).await;
    submit_one(&s, PlannedJob { priority: -9, ..planned("lower", "1") }).await;
    let offers = [target("amd64")];
    let other = claims(&s, &claim("c", &offers), 49).await.expect("the one that may run");
    assert_eq!(other.package.as_str(), "lower", "a pause does not hold up the queue");
    assert_eq!(claims(&s, &claim("c", &offers), 49).await, None);
    assert_eq!(claims(&s, &claim("c", &offers), 50).await.map(|j| j.id), Some(job.id));
}

pub(super) async fn a_pause_begun_by_a_clock_that_was_ahead_is_over(s: Store) {
    let job = submit_and_take(&s, "first", planned("hello", "1")).await;
    let mut back = ending(&job, Waiting, Outcome::Refused);
    back.after.not_before = at(8000);
    let done = s.advance(&back, at(7200)).await.expect("a legal change");
    assert!(matches!(done, Advance::Done(..)));
    // Two servers are never quite of one time.
    assert_eq!(claims(&s, &claim("c", &[target("amd64")]), 7140).await, None);
    let taken = claims(&s, &claim("c", &[target("amd64")]), 7139).await;
    assert_eq!(taken.map(|j| j.id), Some(job.id));
}

pub(super) async fn claim_prefers_another_client(s: Store) {
    let avoid = |job: &mut Job| job.avoid = Some(Avoid { client: name("first"), until: at(50) });
    let job = given_back(&s, avoid).await;
    let offers = [target("amd64")];
    assert_eq!(claims(&s, &claim("first", &offers), 49).await, None);
    let other = claims(&s, &claim("second", &offers), 49).await.expect("another may have it");
    assert_eq!(other.id, job.id);
    let mut back = ending(&other, Waiting, Outcome::Refused);
    avoid(&mut back.after);
    apply(&s, back).await;
    assert_eq!(claims(&s, &claim("first", &offers), 50).await.map(|j| j.id), Some(job.id));
}

pub(super) async fn claim_passes_over_any_number_of_jobs(s: Store) {
    const MANY: usize = 60;
    let offers = [target("amd64")];
    let good = |n: usize| PlannedJob { priority: 9, ..planned(&format!("p{n}"), "1") };
    submit(&s, (0..MANY).map(good).collect()).await;
    let other = submit_one(&s, planned("other", "1")).await;
    // Held all at once, and given back together: none comes twice.
    let mut held = Vec::new();
    for _ in 0..MANY {
        held.push(take(&s, "first", target("amd64")).await);
    }
    for job in held {
        let mut back = ending(&job, Waiting, Outcome::Refused);
        back.after.avoid = Some(Avoid { client: name("first"), until: at(50) });
        apply(&s, back).await;
    }
    let taken = claims(&s, &claim("first", &offers), 49).await.expect("the one that it may have");
    assert_eq!(taken.id, other.id);
    assert_eq!(claims(&s, &claim("first", &offers), 49).await, None);
    let good = claims(&s, &claim("second", &offers), 49).await.expect("another gets a better one");
    assert_eq!(good.priority, 9);
}

pub(super) async fn concurrent_claims_take_each_job_once(s: Store) {
    let mut all = BTreeSet::new();
    for n in 0..40 {
        let arch = if n % 2 == 0 { "amd64" } else { "arm64" };
        all.insert(submit_one(&s, planned_in(&format!("p{n}"), "1", target(arch))).await.id);
    }
    let taken = together(8, |n| {
        let s = Store::clone(&s);
        async move {
            let mut mine = Vec::new();
            let client = format!("c{n}");
            loop {
                let offers = [target("amd64"), target("arm64")];
                match s.claim(&claim(&client, &offers), at(1)).await {
                    Ok(Some(job)) => mine.push((client.clone(), job)),
                    Ok(None) => return mine,
                    Err(e) if e.is_retryable() => {}
                    Err(e) => panic!("a claim failed: {e:?}"),
                }
            }
        }
    })
    .await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 40, "each job once");
    assert_eq!(taken.iter().map(|(_, job)| job.id).collect::<BTreeSet<_>>(), all);
    for (client, job) in &taken {
        let kept = now(&s, job).await;
        assert_eq!((kept.attempt, kept.status, &kept), (1, Building, job));
        assert_eq!(kept.client, Some(name(client)), "the one who was told has it");
        assert_eq!(s.attempts(job.id).await.expect("an answer").len(), 1);
    }
}

pub(super) async fn claim_begins_an_attempt_with_an_empty_log(s: Store) {
    let before = submit_one(&s, planned("hello", "1")).await;
    let claim = claim("c", &[target("amd64")]);
    let job = claims(&s, &claim, 7).await.expect("a job");
    assert_eq!((job.status, job.attempt, job.client.clone()), (Building, 1, Some(name("c"))));
    assert_eq!(job.row_version, before.row_version + 1);
    assert_eq!(job.lease_epoch, before.lease_epoch + 1);
    assert_eq!((job.changed_at, job.created_at), (at(7), before.created_at));
    assert_eq!(now(&s, &job).await, job);
    let attempts = s.attempts(job.id).await.expect("an answer");
    assert_eq!(attempts.len(), 1);
    let attempt = &attempts[0];
    assert_eq!((attempt.job, attempt.number, attempt.log_length), (job.id, 1, 0));
    assert_eq!((&attempt.client, &attempt.boot), (&claim.client, &claim.boot));
    assert_eq!((attempt.started_at, attempt.ended_at, attempt.outcome), (at(7), None, None));
    let streams = s.streams(attempt_of(&job)).await.expect("an answer");
    assert_eq!(streams.len(), 1, "the log and nothing else");
    let log = &streams[0];
    assert_eq!((log.role, log.name.as_str(), log.length), (StreamRole::Log, "log", 0));
    assert_eq!((log.owner, log.size, &log.object), (attempt_of(&job), None, &None));
    let events = s.events(job.id).await.expect("an answer");
    let event = events.last().expect("an event");
    assert_eq!((event.from, event.to, event.attempt), (Some(Waiting), Building, 1));
}

pub(super) async fn same_claim_id_returns_the_same_job(s: Store) {
    submit_one(&s, planned("hello", "1")).await;
    submit_one(&s, planned("next", "1")).await;
    let asked = claim("c", &[target("amd64")]);
    let job = claims(&s, &asked, 1).await.expect("a job");
    assert_eq!(claims(&s, &asked, 2).await, Some(job.clone()), "nothing changes");
    let thief = Claim { client: name("thief"), ..asked.clone() };
    if let Ok(Some(got)) = s.claim(&thief, at(2)).await {
        assert_ne!(got.id, job.id, "another client's equal id never returns it");
    }
    let lost = apply(&s, ending(&job, Waiting, Outcome::Lost)).await;
    is_over(&s, &asked, "the job is not held any more").await;
    let resumed = crate::storage::Change { reopen_attempt: true, ..change(&lost, Building) };
    let resumed = apply(&s, resumed).await;
    assert_eq!(claims(&s, &asked, 4).await, Some(resumed.clone()), "it is held again");
    let cancelling = apply(&s, change(&resumed, Cancelling)).await;
    assert_eq!(claims(&s, &asked, 4).await, Some(cancelling), "also while it is cancelled");

    let twice = claim("d", &[target("arm64")]);
    let first = submit_one(&s, planned_in("again", "1", target("arm64"))).await;
    let first = claims(&s, &twice, 5).await.filter(|j| j.id == first.id).expect("a job");
    apply(&s, ending(&first, Waiting, Outcome::Refused)).await;
    let second = take(&s, "d", target("arm64")).await;
    assert_eq!((second.id, second.attempt), (first.id, 2));
    is_over(&s, &twice, "a newer attempt has it").await;
}

async fn is_over(s: &Store, claim: &Claim, why: &str) {
    let refused = s.claim(claim, at(6)).await.expect_err(why);
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, Claim::OVER), "{why}");
}

pub(super) async fn a_claim_asked_many_times_at_once_takes_one_job(s: Store) {
    for round in 0..10 {
        // In every second round there is another job, which is not for it.
        submit_one(&s, planned(&format!("one{round}"), "1")).await;
        let other = round % 2 == 1;
        if other {
            submit_one(&s, planned(&format!("two{round}"), "1")).await;
        }
        let asked = claim("c", &[target("amd64")]);
        let told = together(8, |_| {
            let (s, asked) = (Store::clone(&s), asked.clone());
            async move {
                loop {
                    match s.claim(&asked, at(1)).await {
                        Ok(job) => return job.map(|job| job.id),
                        Err(e) if e.is_retryable() => {}
                        Err(e) => panic!("a claim failed: {e:?}"),
                    }
                }
            }
        })
        .await;
        assert!(told[0].is_some() && told.iter().all(|job| *job == told[0]), "{told:?}");
        let rest = claims(&s, &claim("c", &[target("amd64")]), 1).await;
        assert_eq!(rest.is_some(), other, "one claim takes one job");
    }
}
