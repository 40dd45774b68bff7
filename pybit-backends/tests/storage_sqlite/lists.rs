//! Lists of jobs, packages, and what the farm serves.

use crate::farm::{Farm, client};
use pybit_core::model::{JobFilter, JobStatus, Page, RuleId, SubmissionId};
use pybit_core::storage::{CatalogStore, JobStore, PackageStore};

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
    let submission = Some(SubmissionId(3));
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
async fn the_catalogue_is_put_and_read() {
    let farm = Farm::fresh().await;
    farm.catalogue_round_trip().await;
    assert!(farm.store.remove_rule(RuleId(1)).await.unwrap());
    assert!(!farm.store.remove_rule(RuleId(1)).await.unwrap());
}
