//! What is killed, and what must not be lost by it.

use std::path::Path;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, outcomes, wait_for};

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

/// Copies the files of the farm's database, and removes those that the copy does not have.
fn copy_database(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["farm.db", "farm.db-wal", "farm.db-shm"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
    assert!(to.join("farm.db").exists());
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_database_restored_to_an_older_copy_gives_no_attempt_twice() {
    let farm = Farm::new("");
    let web = farm.web();
    let gate = farm.path().join("gate");
    let one = farm.client("one");
    let _watcher = farm.watcher();
    // It never falls silent, so that its log may speak to the restored farm before its client's sign of life.
    let chatter =
        format!("while [ ! -e {} ]; do echo still-here; sleep 0.05; done", gate.display());
    let package = Package::new("pybit-restored", "1.0").build("echo building-now").build(&chatter);
    let job = farm.binary_job(&farm.submit(&package.write(farm.path())).0);
    farm.wait_building(job, 1);
    one.kill();
    farm.wait_status(job, "Waiting");
    farm.client_config("two", &farm.url()); // its token is older than the copy
    let (data, copy) = (farm.path().join("data"), farm.path().join("copy"));
    web.kill();
    copy_database(&data, &copy);
    let web = farm.web();
    let _two = farm.client("two");
    farm.wait_building(job, 2);
    web.kill();
    copy_database(&copy, &data);

    let web = farm.web();
    farm.wait_building(job, 4);
    std::fs::write(&gate, "").unwrap();
    let detail = farm.wait_status(job, "Done");
    assert_eq!(outcomes(&detail), ["lost", "succeeded"]);
    let numbers: Vec<_> =
        detail["attempts"].as_array().unwrap().iter().map(|a| &a["number"]).collect();
    assert_eq!(numbers, [1, 4], "2 was given before the copy came back, 3 lies between");
    assert!(farm.log(job, 4).contains("built"));
    let told = "client two holds attempt 2, which this database never gave: it is an older copy";
    let events = detail["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|e| e["cause"] == told).count(), 1, "{detail}");
    assert!(web.said().contains("was it restored from an older copy?"), "{}", web.said());
    // Its log and its sign of life may come at one time, and each is an alarm; each that was told is counted.
    let told = web.said().matches("was it restored from an older copy?").count();
    let metrics = farm.metrics();
    assert!(metrics.contains(&format!("pybit_attempts_never_given {told}\n")), "{told}: {metrics}");
    assert!((1..=2).contains(&told), "{told}");
    wait_for("the package", DEADLINE, || {
        (farm.published("pybit-restored") == ["1.0"]).then_some(())
    });
}
