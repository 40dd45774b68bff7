//! Packages that an operator has taken out of the repository, and the jobs that wait for them.

use pybit_core::model::{OrderKind, OrderReport};
use pybit_core::protocol::NewPackageOrder;

use super::*;

impl World {
    /// Builds and publishes a version of `thing`, whose package is `libthing-dev`.
    async fn publish_thing(&self, version: &str, claim: &str) -> Job {
        self.submit_dsc("thing", version, "amd64").await.unwrap();
        let built = self.claim("two", claim).await.job;
        assert_eq!(built.package.as_str(), "thing");
        self.finish("two", &built, &[("libthing-dev", version)]).await.unwrap();
        self.published(&built).await
    }

    async fn published(&self, job: &Job) -> Job {
        self.farm.published("watcher", job.id, job.attempt, "bookworm 000001").await.unwrap()
    }

    /// A removal of `thing`, from the order to the watcher's report.
    async fn remove_thing(&self) {
        let repository = self.farm.storage().catalogue().await.unwrap().repositories.remove(0);
        let request = NewPackageOrder {
            kind: OrderKind::Remove,
            package: Some("thing".parse().unwrap()),
            version: None,
            reason: Some("broken".to_owned()),
            dry_run: false,
        };
        let asked = self.farm.order_packages(&ann(), &repository, request, None).await;
        let order = asked.unwrap().order;
        let report = OrderReport::Done(Vec::new());
        self.farm.report_order(&repository.name, order.id, &report).await.unwrap();
    }

    async fn status(&self, job: &Job) -> JobStatus {
        self.farm.job(job.id).await.unwrap().status
    }
}

#[tokio::test]
async fn a_package_that_was_removed_wakes_no_blocked_job() {
    let world = world().await;
    world.submit_dsc("user", "1", "amd64").await.unwrap();
    let user = world.claim("one", "claim-0001").await.job;
    world.clock.advance(Duration::from_secs(1));
    let thing = world.publish_thing("2.0", "claim-0002").await;
    world.remove_thing().await;
    let failure = Failure { class: FailureClass::DepWait, message: "missing".to_owned() };
    let unmet = vec!["libthing-dev (>= 2.0)".to_owned()];
    let request = FailRequest { attempt: 1, log: empty_log(), failure, unmet };
    world.farm.fail(&"one".parse().unwrap(), user.id, &request).await.unwrap();
    assert_eq!(world.status(&user).await, JobStatus::Blocked);
    // The publication came while the job was building, so the sweep is what would wake it.
    world.farm.sweep().await.unwrap();
    assert_eq!(world.status(&user).await, JobStatus::Blocked, "after a sweep");
    world.published(&thing).await;
    assert_eq!(world.status(&user).await, JobStatus::Blocked, "after a repeated report");
    world.publish_thing("2.0", "claim-0003").await;
    assert_eq!(world.status(&user).await, JobStatus::Waiting, "after the owner's next build");
}
