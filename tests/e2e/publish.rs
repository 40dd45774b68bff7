//! From source to an installable package, by each way in.

use crate::support::Farm;
use crate::support::package::{Package, tagged};

fn jobs_of(reply: &serde_json::Value) -> Vec<i64> {
    reply["jobs"].as_array().unwrap().iter().map(|j| j["id"].as_i64().unwrap()).collect()
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_directory_becomes_a_package_in_a_signed_repository() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let tree = Package::new("pybit-dir", "1.0").debhelper().write(farm.path());
    let done =
        farm.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--wait", "--json"]);
    let jobs = jobs_of(&done);
    assert_eq!(jobs.len(), 2, "a source job and a binary job: {done}");
    assert_eq!(farm.published("pybit-dir"), ["1.0"]);
    let (signed, release) = farm.get("/repositories/bookworm/dists/bookworm/InRelease");
    assert!(signed && release.contains("BEGIN PGP SIGNED MESSAGE"), "{release}");
}

#[test]
#[ignore = "needs git, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_git_tag_becomes_a_package() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let tree = Package::new("pybit-git", "2.0").write(farm.path());
    tagged(&tree, "debian/2.0");
    let source = format!("git+file://{}#debian/2.0", tree.display());
    let done = farm.json(&["submit", &source, "--suite", "bookworm", "--wait", "--json"]);
    assert_eq!(jobs_of(&done).len(), 2, "{done}");
    assert_eq!(farm.published("pybit-git"), ["2.0"]);
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn an_older_version_is_refused_and_a_newer_one_replaces_the_index() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    for version in ["2.0", "10.0"] {
        let tree = Package::new("pybit-order", version).write(farm.path());
        farm.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--wait", "--json"]);
    }
    assert_eq!(farm.published("pybit-order"), ["10.0"]);
    let older = Package::new("pybit-order", "9.9").write(farm.path());
    let output =
        farm.run(&["submit", older.to_str().unwrap(), "--suite", "bookworm", "--wait", "--json"]);
    assert!(!output.status.success());
    let jobs = farm.jobs("status=Failed");
    let message = jobs[0]["failure"]["message"].as_str().unwrap();
    assert!(message.contains("9.9") && message.contains("10.0"), "{message}");
    assert_eq!(farm.published("pybit-order"), ["10.0"]);
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_result_waits_for_a_watcher_that_is_away() {
    let farm = Farm::new("");
    let _web = farm.web();
    let _client = farm.client("one");
    let tree = Package::new("pybit-late", "1.0").write(farm.path());
    let (submission, source) = farm.submit(&tree);
    farm.wait_status(source, "Done");
    let binary = farm.binary_job(&submission);
    farm.wait_status(binary, "Uploaded");
    let _watcher = farm.watcher();
    farm.wait_status(binary, "Done");
    assert_eq!(farm.published("pybit-late"), ["1.0"]);
}
