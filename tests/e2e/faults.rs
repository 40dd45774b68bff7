//! What is killed, and what must not be lost by it.

use crate::support::package::Package;
use crate::support::{Farm, outcomes};

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_client_killed_mid_build_loses_nothing() {
    let farm = Farm::new("");
    let _web = farm.web();
    let gate = farm.path().join("gate");
    let one = farm.client("one");
    let _watcher = farm.watcher();
    let tree = Package::new("pybit-kill", "1.0").gate(&gate).write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    one.kill();
    let _two = farm.client("two");
    farm.wait_building(job, 2);
    std::fs::write(&gate, "").unwrap();
    let detail = farm.wait_status(job, "Done");
    assert_eq!(outcomes(&detail), ["lost", "succeeded"]);
    assert!(farm.log(job, 1).contains("building-now"), "the first attempt's log is kept");
    assert!(farm.log(job, 2).contains("built"));
    assert_eq!(farm.published("pybit-kill"), ["1.0"], "the repository holds one copy");
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_server_killed_mid_build_leaves_no_gap() {
    let farm = Farm::new("");
    let web = farm.web();
    let gate = farm.path().join("gate");
    let _client = farm.client("one");
    let _watcher = farm.watcher();
    let mut package = Package::new("pybit-gap", "1.0").gate(&gate);
    package = package.build("for i in $$(seq 1 2000); do echo line-$$i; done");
    let tree = package.write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    web.kill();
    std::fs::write(&gate, "").unwrap();
    let _web = farm.web();
    let detail = farm.wait_status(job, "Done");
    assert_eq!(detail["attempts"].as_array().unwrap().len(), 1, "the build went on: {detail}");
    let log = farm.log(job, 1);
    let lines: Vec<_> = log.lines().filter(|l| l.starts_with("line-")).collect();
    let expected: Vec<_> = (1..=2000).map(|i| format!("line-{i}")).collect();
    assert_eq!(lines, expected, "no gap, nothing twice");
}
