//! What happens to jobs at the same time.

use std::collections::BTreeSet;

use pybit_core::conformance::support::{
    at, change, claim, ending, now, planned, planned_in, record, report, submit, submit_and_take,
    submit_one, target, together,
};
use pybit_core::model::{JobFilter, JobId, JobStatus, Outcome, Page};
use pybit_core::storage::{Advance, Change};

use super::Servers;

pub(super) async fn a_thousand_jobs_are_claimed_once_each(servers: Servers) {
    let arches = ["amd64", "arm64", "riscv64"];
    for hundred in 0..10 {
        let plan = (0..100)
            .map(|n| planned_in(&format!("p{hundred}-{n}"), "1", target(arches[n % arches.len()])));
        submit(&servers.of(0), plan.collect()).await;
    }
    let taken = together(16, |n| {
        let server = servers.of(n);
        let mut offers: Vec<_> = arches.iter().map(|arch| target(arch)).collect();
        offers.rotate_left(n % arches.len());
        async move {
            let mut mine = Vec::new();
            // Nothing may be free for a moment, as another claim holds it; so the end is what the counts say.
            while server.counts().await.unwrap().of(JobStatus::Waiting) > 0 {
                let job = server.claim(&claim(&format!("box{n}"), &offers), at(1)).await.unwrap();
                mine.extend(job.map(|job| (job.id, job.attempt)));
            }
            mine
        }
    })
    .await;
    let all: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(all.len(), 1000, "none was taken twice");
    assert!(all.iter().all(|(_, attempt)| *attempt == 1));
    assert_eq!(all.iter().map(|(id, _)| *id).collect::<BTreeSet<JobId>>().len(), 1000);
    let counts = servers.of(0).counts().await.unwrap();
    assert_eq!(counts.of(JobStatus::Building), 1000);
    assert_eq!(counts.0.values().sum::<u64>(), 1000);
}

pub(super) async fn one_claim_made_often_takes_one_job(servers: Servers) {
    submit(&servers.of(0), (0..8).map(|n| planned(&format!("p{n}"), "1")).collect()).await;
    let wish = claim("box", &[target("amd64")]);
    let jobs = together(8, |n| {
        let (server, wish) = (servers.of(n), wish.clone());
        async move { server.claim(&wish, at(1)).await.unwrap() }
    })
    .await;
    let first = jobs[0].as_ref().expect("there is work").id;
    assert!(jobs.iter().all(|job| job.as_ref().is_some_and(|j| j.id == first)), "{jobs:?}");
    assert_eq!(servers.of(0).counts().await.unwrap().of(JobStatus::Waiting), 7);
}

pub(super) async fn a_result_and_a_lapse_exclude_each_other(servers: Servers) {
    for round in 0..12 {
        let job = submit_and_take(&servers.of(0), "box", planned(&format!("p{round}"), "1")).await;
        let lapse = Change {
            expected_lease: Some(job.lease_epoch),
            ..ending(&job, JobStatus::Waiting, Outcome::Lost)
        };
        let result = ending(&job, JobStatus::Uploaded, Outcome::Succeeded);
        let ended = together(6, |n| {
            let server = servers.of(n);
            let change = if n % 2 == 0 { lapse.clone() } else { result.clone() };
            async move {
                if n == 5 {
                    server.beat(&report("box", &[]), &[(change.after.id, 1)], at(2)).await.unwrap();
                }
                matches!(server.advance(&change, at(2)).await.unwrap(), Advance::Done(..))
            }
        })
        .await;
        assert!(ended.iter().filter(|done| **done).count() <= 1, "one of them at most");
        let server = servers.of(1);
        let (job, attempts) = (now(&server, &job).await, server.attempts(job.id).await.unwrap());
        let wanted = match job.status {
            JobStatus::Uploaded => Some(Outcome::Succeeded),
            JobStatus::Waiting => Some(Outcome::Lost),
            _ => None,
        };
        assert_eq!(attempts[0].outcome, wanted);
        let events = server.events(job.id).await.unwrap();
        assert_eq!(i64::try_from(events.len()).unwrap(), job.row_version);
        // What is left must not be claimed by the next round.
        if job.status == JobStatus::Waiting {
            server.advance(&change(&job, JobStatus::Cancelled), at(3)).await.unwrap();
        }
    }
}

pub(super) async fn heartbeats_and_newer_versions_do_not_wait_in_a_circle(servers: Servers) {
    let server = servers.of(0);
    let mut held = Vec::new();
    for n in 0..8 {
        held.push(submit_and_take(&server, "box", planned(&format!("p{n}"), "1")).await);
    }
    let listed: Vec<_> = held.iter().map(|job| (job.id, job.attempt)).collect();
    together(18, |n| {
        let server = servers.of(n);
        let (mut listed, job) = (listed.clone(), held[n % held.len()].clone());
        if n % 2 == 0 {
            listed.reverse();
        }
        async move {
            match n % 3 {
                0 => {
                    let mut plan: Vec<_> =
                        (0..8).map(|p| planned(&format!("p{p}"), &(2 + n).to_string())).collect();
                    if n % 2 == 0 {
                        plan.reverse();
                    }
                    if let Err(error) = server.record_submission(&record(plan), at(2)).await {
                        assert_eq!(error.code(), "older_version", "{error:?}");
                    }
                }
                1 => {
                    for _ in 0..5 {
                        server.beat(&report("box", &[]), &listed, at(2)).await.unwrap();
                    }
                }
                _ => {
                    let health = Some(pybit_core::storage::HealthMark::Well);
                    let failed = ending(&job, JobStatus::Failed, Outcome::Failed);
                    let change = Change { health, ..failed };
                    server.advance(&change, at(2)).await.unwrap();
                }
            }
        }
    })
    .await;
    let all = server.jobs(&JobFilter::default(), &Page::first(200)).await.unwrap();
    for job in all {
        let events = server.events(job.id).await.unwrap();
        assert_eq!(i64::try_from(events.len()).unwrap(), job.row_version, "{job:?}");
    }
}

pub(super) async fn hints_are_marked_by_two_servers(servers: Servers) {
    for n in 0..30 {
        submit_one(&servers.of(n), planned(&format!("p{n}"), "1")).await;
    }
    together(6, |n| {
        let server = servers.of(n);
        async move {
            loop {
                let mut ids: Vec<_> =
                    server.outbox(7).await.unwrap().into_iter().map(|row| row.id).collect();
                if ids.is_empty() {
                    return;
                }
                if n % 2 == 0 {
                    ids.reverse();
                }
                server.mark_sent(&ids).await.unwrap();
            }
        }
    })
    .await;
    assert!(servers.of(0).outbox(100).await.unwrap().is_empty());
}
