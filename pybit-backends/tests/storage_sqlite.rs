//! SQLite keeps what the storage traits promise.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod farm;

use std::sync::Arc;

use farm::{Farm, at, binary, client, later, record, source};
use pybit_core::ErrorKind;
use pybit_core::model::{
    Appended, Avoid, Failure, FailureClass, FileSpec, JobFilter, JobId, JobStatus, Outcome, Page,
    Part, StreamOwner, StreamRole,
};
use pybit_core::storage::{
    Advance, AttemptEnd, CatalogStore, Change, ClientStore, HealthMark, JobStore, PackageStore,
    StreamStore,
};

fn end(outcome: Outcome) -> AttemptEnd {
    AttemptEnd { outcome, failure: None, log_sha256: Some("ab".repeat(32)) }
}

#[tokio::test]
async fn claim_takes_the_best_over_all_offers() {
    let farm = Farm::fresh().await;
    for (package, arch, priority, weight) in
        [("a", "amd64", 0, 5), ("b", "arm64", 1, 0), ("c", "amd64", 1, 1), ("d", "amd64", 1, 1)]
    {
        let mut job = binary(package, "1", arch);
        (job.priority, job.weight) = (priority, weight);
        farm.store.record_submission(&record(None, vec![job]), at()).await.unwrap();
    }
    let mut order = Vec::new();
    while let Some(job) = farm.claim("box", &["arm64", "amd64"]).await {
        assert_eq!((job.status, job.attempt, job.row_version), (JobStatus::Building, 1, 2));
        order.push(job.package.to_string());
    }
    assert_eq!(order, ["c", "d", "b", "a"]);
    assert!(farm.claim("box", &["riscv64"]).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_claims_take_each_job_once() {
    let farm = Arc::new(Farm::fresh().await);
    let jobs = (0..42).map(|n| binary(&format!("p{n}"), "1", "amd64")).collect();
    farm.store.record_submission(&record(None, jobs), at()).await.unwrap();
    let workers = (0..8).map(|n| {
        let farm = Arc::clone(&farm);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            while let Some(job) = farm.claim(&format!("box{n}"), &["amd64"]).await {
                mine.push(job.id);
            }
            mine
        })
    });
    let mut taken = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        taken.extend(worker.await.unwrap());
    }
    taken.sort();
    assert_eq!(taken, (1..=42).map(JobId).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_claim_id_returns_the_same_job_until_it_is_over() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let claim = farm::claim("box", "once", &["amd64"]);
    let first = farm.store.claim(&claim, at()).await.unwrap().unwrap();
    let again = farm.store.claim(&claim, later(9)).await.unwrap().unwrap();
    assert_eq!(first, again);
    farm.to(&first, JobStatus::Waiting, |c| c.attempt_end = Some(end(Outcome::Refused))).await;
    assert_eq!(farm.store.claim(&claim, at()).await.unwrap(), None);
    assert_eq!(farm.claim("box", &["amd64"]).await.unwrap().attempt, 2);
    assert_eq!(farm.store.claim(&claim, at()).await.unwrap(), None);
}

#[tokio::test]
async fn pauses_and_preferences_hold_a_job_back_until_they_end() {
    let farm = Farm::fresh().await;
    let job = farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    farm.to(&held, JobStatus::Waiting, |c| {
        c.after.not_before = later(10);
        c.after.avoid = Some(Avoid { client: client("box"), until: later(20) });
        c.attempt_end = Some(end(Outcome::Failed));
    })
    .await;
    let ask = |name, at| {
        let claim = farm::claim(name, &format!("{name}{at:?}"), &["amd64"]);
        let store = &farm.store;
        async move { store.claim(&claim, at).await.unwrap() }
    };
    assert!(farm.store.due_routes(later(9)).await.unwrap().is_empty());
    assert_eq!(farm.store.due_routes(later(10)).await.unwrap(), [job.target.route()]);
    assert!(ask("other", later(9)).await.is_none());
    assert!(ask("box", later(19)).await.is_none());
    assert!(ask("box", later(20)).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_key_returns_the_first_result_to_every_caller() {
    let farm = Arc::new(Farm::fresh().await);
    let wish = record(Some("k"), vec![binary("a", "1", "amd64"), binary("a", "1", "arm64")]);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (farm, wish) = (Arc::clone(&farm), wish.clone());
            tokio::spawn(async move { farm.store.record_submission(&wish, at()).await.unwrap() })
        })
        .collect();
    let mut repeated = 0;
    for caller in callers {
        let answer = caller.await.unwrap();
        repeated += usize::from(answer.repeated);
        assert_eq!(answer.jobs.iter().map(|j| j.id.0).collect::<Vec<_>>(), [1, 2]);
    }
    assert_eq!(repeated, 7);
    let mut other = wish.clone();
    other.request.priority = 3;
    let error = farm.store.record_submission(&other, at()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "idempotency_key_reused"));
    other.principal = "somebody else".to_owned();
    other.jobs = vec![binary("b", "1", "amd64")];
    assert!(!farm.store.record_submission(&other, at()).await.unwrap().repeated);
}

#[tokio::test]
async fn a_newer_version_supersedes_older_unfinished_ones() {
    let farm = Farm::fresh().await;
    let building = farm.submit("a", "1").await;
    farm.claim("box", &["amd64"]).await.unwrap();
    let elsewhere = farm.record_one(binary("a", "1", "arm64")).await;
    let newer = farm.submit("a", "2").await;
    let newest = farm.submit("a", "3").await;
    let now = |id| farm.job(id);
    let old = now(building.id).await;
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelling, Some(newer.id)));
    let old = now(newer.id).await;
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelled, Some(newest.id)));
    assert_eq!(now(elsewhere.id).await.status, JobStatus::Waiting);
    let events = farm.store.events(newer.id).await.unwrap();
    assert_eq!(events.iter().map(|e| e.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(events[1].to, JobStatus::Cancelled);
}

#[tokio::test]
async fn the_version_rules_refuse_and_force_lets_pass() {
    let farm = Farm::fresh().await;
    let two = farm.submit("a", "2").await;
    let refused = |version: &str, force: bool| {
        let mut job = binary("a", version, "amd64");
        job.force = force;
        let store = &farm.store;
        async move { store.record_submission(&record(None, vec![job]), at()).await }
    };
    let older = refused("1", false).await.unwrap_err();
    assert_eq!((older.kind(), older.code()), (ErrorKind::Conflict, "older_version"));
    assert!(older.message().contains(" 2,") && older.message().contains("job 1;"), "{older}");
    let equal = refused("2", false).await.unwrap_err();
    assert_eq!((equal.kind(), equal.code()), (ErrorKind::Conflict, "same_version"));
    assert!(equal.message().contains("job 1 "), "{equal}");
    assert_eq!(farm.store.jobs(&JobFilter::default(), &Page::first(9)).await.unwrap().len(), 1);

    let forced = refused("2", true).await.unwrap().jobs.remove(0);
    let old = farm.job(two.id).await;
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelled, Some(forced.id)));
    let older = refused("1", true).await.unwrap().jobs.remove(0);
    assert_eq!(
        (older.status, farm.job(forced.id).await.status),
        (JobStatus::Waiting, JobStatus::Waiting)
    );
}

#[tokio::test]
async fn a_forced_rebuild_leaves_an_uploaded_result_alone() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    farm.to(&held, JobStatus::Uploaded, |c| c.attempt_end = Some(end(Outcome::Succeeded))).await;
    let mut again = binary("a", "1", "amd64");
    again.force = true;
    farm.record_one(again).await;
    assert_eq!(farm.job(held.id).await.status, JobStatus::Uploaded);
}

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

#[tokio::test]
async fn hints_stay_until_they_are_marked() {
    let farm = Farm::fresh().await;
    let job = farm.submit("a", "1").await;
    let rows = farm.store.outbox(9).await.unwrap();
    assert_eq!((rows.len(), rows[0].job, &rows[0].route), (1, job.id, &job.target.route()));
    assert_eq!(farm.store.outbox(9).await.unwrap(), rows);
    for _ in 0..2 {
        farm.store.mark_sent(&[rows[0].id]).await.unwrap();
    }
    farm.submit("b", "1").await;
    let rest = farm.store.outbox(9).await.unwrap();
    assert!(rest.len() == 1 && rest[0].id > rows[0].id, "{rest:?}");
}

#[tokio::test]
async fn every_filter_narrows_and_pages_join() {
    let farm = Farm::fresh().await;
    for n in 0..7 {
        farm.submit(&format!("p{}", n % 2), &format!("{n}")).await;
    }
    farm.claim("box", &["amd64"]).await.unwrap();
    let count = |filter: JobFilter| {
        let store = &farm.store;
        async move { store.jobs(&filter, &Page::first(50)).await.unwrap().len() }
    };
    assert_eq!(count(JobFilter::default()).await, 7);
    let status = Some(JobStatus::Building);
    assert_eq!(count(JobFilter { status, ..JobFilter::default() }).await, 1);
    let package = Some("p1".parse().unwrap());
    assert_eq!(count(JobFilter { package: package.clone(), ..JobFilter::default() }).await, 3);
    assert_eq!(count(JobFilter { package, status, ..JobFilter::default() }).await, 1);
    let submission = Some(pybit_core::model::SubmissionId(3));
    assert_eq!(count(JobFilter { submission, ..JobFilter::default() }).await, 1);
    let dist = Some("Other".parse().unwrap());
    assert_eq!(count(JobFilter { dist, ..JobFilter::default() }).await, 0);
    for (suite, found) in [("sid", 7), ("other", 0)] {
        let suite = Some(suite.parse().unwrap());
        assert_eq!(count(JobFilter { suite, ..JobFilter::default() }).await, found);
    }
    for (arch, found) in [("amd64", 7), ("arm64", 0)] {
        let arch = Some(arch.parse().unwrap());
        assert_eq!(count(JobFilter { arch, ..JobFilter::default() }).await, found);
    }
    let name = Some(client("box"));
    assert_eq!(count(JobFilter { client: name, ..JobFilter::default() }).await, 1);

    let mut page = Page::first(3);
    let mut seen = Vec::new();
    loop {
        let jobs = farm.store.jobs(&JobFilter::default(), &page).await.unwrap();
        let Some(last) = jobs.last() else { break };
        page.before = Some(last.id);
        seen.extend(jobs.iter().map(|j| j.id.0));
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let counts = farm.store.counts().await.unwrap();
    assert_eq!((counts.of(JobStatus::Building), counts.of(JobStatus::Cancelled)), (1, 5));
}

#[tokio::test]
async fn the_place_in_the_queue_counts_what_ranks_higher() {
    let farm = Farm::fresh().await;
    let first = farm.submit("a", "1").await;
    let second = farm.submit("b", "1").await;
    let mut urgent = binary("c", "1", "amd64");
    urgent.priority = 5;
    farm.record_one(urgent).await;
    farm.record_one(binary("d", "1", "arm64")).await;
    assert_eq!(farm.store.ahead_of(&first).await.unwrap(), 1);
    assert_eq!(farm.store.ahead_of(&second).await.unwrap(), 2);
}

#[tokio::test]
async fn packages_show_their_newest_done_version_and_newest_job() {
    let farm = Farm::fresh().await;
    for version in ["1", "2"] {
        farm.submit("Lib_x", version).await;
        let held = farm.claim("box", &["amd64"]).await.unwrap();
        farm.to(&held, JobStatus::Uploaded, |_| ()).await;
        let uploaded = farm.job(held.id).await;
        farm.to(&uploaded, JobStatus::Done, |_| ()).await;
    }
    let newest = farm.submit("Lib_x", "3").await;
    farm.submit("libyx", "1").await;
    let shown = farm.store.packages(None, None, 50).await.unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].newest_job, shown[0].newest_version.as_str()), (newest.id, "3"));
    assert_eq!(shown[0].done.as_ref().unwrap().as_str(), "2");
    assert_eq!((&shown[1].done, shown[1].newest_status), (&None, JobStatus::Waiting));
    assert_eq!(farm.store.packages(Some("LIB_"), None, 50).await.unwrap(), shown[..1]);
    assert_eq!(farm.store.packages(None, Some(&shown[0].package), 50).await.unwrap(), shown[1..]);
    assert_eq!(farm.store.packages(None, None, 1).await.unwrap(), shown[..1]);
    let target = &newest.target;
    let found = farm.store.newest(&newest.package, &target.dist, &target.suite, &target.format);
    assert_eq!(found.await.unwrap().unwrap().id, newest.id);
}

#[tokio::test]
async fn a_file_grows_to_its_size_and_is_sealed() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let owner = StreamOwner::Attempt { job: held.id, attempt: 1 };
    let mut spec = FileSpec { name: "a.deb".parse().unwrap(), size: 10, sha256: "cd".repeat(32) };
    let specs = std::slice::from_ref(&spec);
    let file = farm.store.declare_files(owner, specs, at()).await.unwrap().remove(0);
    assert_eq!(
        farm.store.declare_files(owner, specs, at()).await.unwrap(),
        std::slice::from_ref(&file)
    );
    let part = |offset, length| Part { offset, length, object: format!("o{offset}") };
    for (offset, length) in [(0, 4), (4, 3), (7, 2)] {
        let grown = farm.store.append_part(file.id, &part(offset, length)).await.unwrap();
        assert_eq!(grown, Appended::Grown(offset + length));
    }
    assert_eq!(farm.store.append_part(file.id, &part(4, 3)).await.unwrap(), Appended::Mismatch(9));
    let error = farm.store.append_part(file.id, &part(9, 2)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "size_exceeded"));
    let unsealed =
        farm.try_to(&held, JobStatus::Uploaded, |c| c.needs_files = true).await.unwrap_err();
    assert_eq!(unsealed.code(), "files_incomplete");
    assert_eq!(farm.store.seal(file.id, 9, "w", "x").await.unwrap_err().code(), "incomplete");
    assert_eq!(farm.store.parts(file.id, 5, 9).await.unwrap(), [part(4, 3), part(7, 2)]);
    assert!(!farm.store.merge_parts(file.id, &part(0, 6)).await.unwrap());
    assert!(!farm.store.merge_parts(file.id, &part(1, 6)).await.unwrap());
    let merged = Part { offset: 0, length: 7, object: "m".to_owned() };
    assert!(farm.store.merge_parts(file.id, &merged).await.unwrap());
    assert_eq!(farm.store.parts(file.id, 0, 9).await.unwrap(), [merged, part(7, 2)]);
    farm.store.append_part(file.id, &part(9, 1)).await.unwrap();
    assert!(!farm.store.seal(file.id, 9, "w", "x").await.unwrap());
    assert!(farm.store.seal(file.id, 10, "w", &spec.sha256).await.unwrap());
    assert!(!farm.store.seal(file.id, 10, "w", &spec.sha256).await.unwrap());
    assert_eq!(farm.store.append_part(file.id, &part(10, 1)).await.unwrap_err().code(), "sealed");
    assert_eq!(farm.store.reset(file.id).await.unwrap_err().code(), "sealed");
    spec.size = 11;
    let changed = farm.store.declare_files(owner, &[spec], at()).await.unwrap_err();
    assert_eq!((changed.kind(), changed.code()), (ErrorKind::Conflict, "manifest_changed"));
    farm.to(&held, JobStatus::Uploaded, |c| c.needs_files = true).await;
}

#[tokio::test]
async fn only_the_newest_attempt_of_a_building_job_writes() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let of = |attempt| StreamOwner::Attempt { job: held.id, attempt };
    let spec = FileSpec { name: "a.deb".parse().unwrap(), size: 1, sha256: "cd".repeat(32) };
    let code = |attempt| {
        let (store, spec) = (&farm.store, spec.clone());
        async move { store.declare_files(of(attempt), &[spec], at()).await.unwrap_err().code() }
    };
    assert_eq!(code(2).await, "future_attempt");
    let log = farm.store.streams(of(1)).await.unwrap().remove(0);
    assert_eq!((log.role, log.name.as_str(), log.length), (StreamRole::Log, "log", 0));
    let part = |offset| Part { offset, length: 1, object: "o".to_owned() };
    farm.store.append_part(log.id, &part(0)).await.unwrap();
    assert!(farm.store.unsealed_logs(9).await.unwrap().is_empty());
    farm.to(&held, JobStatus::Waiting, |c| c.attempt_end = Some(end(Outcome::Lost))).await;
    farm.store.append_part(log.id, &part(1)).await.unwrap();
    let held = farm.claim("other", &["amd64"]).await.unwrap();
    assert_eq!(code(1).await, "stale_attempt");
    assert_eq!(farm.store.append_part(log.id, &part(2)).await.unwrap_err().code(), "stale_attempt");
    assert_eq!(farm.store.unsealed_logs(9).await.unwrap()[0].id, log.id);
    assert!(farm.store.seal(log.id, 2, "whole", "ef").await.unwrap());
    assert!(farm.store.unsealed_logs(9).await.unwrap().is_empty());
    farm.to(&held, JobStatus::Cancelling, |_| ()).await;
    assert_eq!(code(2).await, "not_building");
    let log = farm.store.streams(of(2)).await.unwrap().remove(0);
    farm.store.append_part(log.id, &part(0)).await.unwrap();
    let lengths: Vec<_> =
        farm.store.attempts(held.id).await.unwrap().iter().map(|a| a.log_length).collect();
    assert_eq!(lengths, [2, 1]);
}

#[tokio::test]
async fn the_catalogue_is_put_and_read() {
    let farm = Farm::fresh().await;
    farm.catalogue_round_trip().await;
    assert!(farm.store.remove_rule(pybit_core::model::RuleId(1)).await.unwrap());
    assert!(!farm.store.remove_rule(pybit_core::model::RuleId(1)).await.unwrap());
}
