//! What comes in at the same time.

use pybit_core::ErrorKind;
use pybit_core::conformance::support::{
    at, planned, planned_in, record, target, target_in, together,
};
use pybit_core::model::{Grant, JobFilter, JobStatus, Page, Role};
use pybit_core::storage::{NewToken, SubmissionRecord};

use super::Servers;

pub(super) async fn one_key_makes_one_submission(servers: &Servers) {
    let keyed = SubmissionRecord {
        idempotency_key: Some("once".to_owned()),
        ..record(vec![planned("hello", "1"), planned_in("hello", "1", target("arm64"))])
    };
    let results = together(32, |n| {
        let (server, keyed) = (servers.of(n), keyed.clone());
        async move { server.record_submission(&keyed, at(0)).await.unwrap() }
    })
    .await;
    let first = results.iter().filter(|r| !r.repeated).count();
    assert_eq!(first, 1, "one is the first");
    for result in &results {
        assert_eq!((&result.submission, &result.jobs), (&results[0].submission, &results[0].jobs));
    }
    let all = servers.of(0).jobs(&JobFilter::default(), &Page::first(100)).await.unwrap();
    assert_eq!(all.len(), 2);
}

pub(super) async fn the_newest_version_is_what_stays(servers: &Servers) {
    let results =
        together(32, |n| {
            let server = servers.of(n);
            let version = (n % 8).to_string();
            async move {
                server.record_submission(&record(vec![planned("hello", &version)]), at(0)).await
            }
        })
        .await;
    for result in results {
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
            assert!(["older_version", "same_version"].contains(&error.code()), "{error:?}");
        }
    }
    let server = servers.of(0);
    let jobs = server.jobs(&JobFilter::default(), &Page::first(100)).await.unwrap();
    let mut last = String::new();
    for job in jobs.iter().rev() {
        let version = job.version.as_ref().unwrap().to_string();
        assert!(version > last, "no version came twice or after a newer one");
        last = version;
        let newest = job.id == jobs[0].id;
        assert_eq!(job.status, if newest { JobStatus::Waiting } else { JobStatus::Cancelled });
        assert_eq!(job.superseded_by.is_some(), !newest);
    }
    assert_eq!(last, "7", "the newest was taken");
}

pub(super) async fn plans_in_opposite_order_wait_in_one_order(servers: &Servers) {
    let names: Vec<String> = (0..6).map(|n| format!("p{n}")).collect();
    for round in 1..=4 {
        let results = together(16, |n| {
            let server = servers.of(n);
            let mut plan: Vec<_> = names
                .iter()
                .flat_map(|name| {
                    ["bookworm", "trixie"].map(|suite| {
                        planned_in(name, &format!("{round}{n:02}"), target_in(suite, "amd64"))
                    })
                })
                .collect();
            if n % 2 == 0 {
                plan.reverse();
            }
            async move { server.record_submission(&record(plan), at(0)).await }
        })
        .await;
        for result in results {
            if let Err(error) = result {
                assert_eq!(error.code(), "older_version", "{error:?}");
            }
        }
    }
    let waiting = JobFilter { status: Some(JobStatus::Waiting), ..JobFilter::default() };
    let left = servers.of(0).jobs(&waiting, &Page::first(100)).await.unwrap();
    assert_eq!(left.len(), 12, "one of each package and suite");
    assert!(left.iter().all(|job| job.version.as_ref().unwrap().as_str() == "415"));
}

pub(super) async fn one_digest_makes_one_token(servers: &Servers) {
    let token = NewToken {
        name: "ann".to_owned(),
        sha256: "0".repeat(64),
        grant: Grant::of(Role::Submit),
        expires_at: None,
    };
    let results = together(16, |n| {
        let (server, token) = (servers.of(n), token.clone());
        async move { server.add_token(&token, at(0)).await }
    })
    .await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.code(), "token_exists", "{error:?}");
    }
}
