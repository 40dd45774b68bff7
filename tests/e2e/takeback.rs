//! An operator takes back what was published.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Farm;
use crate::support::package::Package;
#[cfg(feature = "trial")]
use crate::support::{DEADLINE, Role, wait_for};

/// A source tree of this version whose package has `content`.
fn tree(farm: &Farm, version: &str, content: &str) -> PathBuf {
    let tree = Package::new("pybit-back", version).write(farm.path());
    std::fs::write(tree.join("tool"), format!("#!/bin/sh\necho {content}\n")).unwrap();
    tree
}

fn build(farm: &Farm, tree: &Path) -> (String, i64) {
    let (submission, source) = farm.submit(tree);
    farm.wait_status(source, "Done");
    let binary = farm.binary_job(&submission);
    (submission, binary)
}

fn history(farm: &Farm) -> Vec<Value> {
    let history = farm.json(&["package", "history", "pybit-back", "--json"]);
    history.as_array().unwrap().clone()
}

const REMOVE: [&str; 5] = ["package", "remove", "pybit-back", "--suite", "bookworm"];

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn what_was_published_is_taken_back_and_a_lower_version_goes_in() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    farm.wait_status(build(&farm, &tree(&farm, "99.0", "bad")).1, "Done");
    let listed = farm.json(&["package", "list", "bookworm", "--source", "pybit-back", "--json"]);
    assert!(listed.as_array().unwrap().iter().any(|p| p["version"] == "99.0"), "{listed}");

    let would = farm.json(&[&REMOVE[..], &["--dry-run", "--json"]].concat());
    assert_eq!((&would["state"], &would["dry_run"]), (&"done".into(), &true.into()), "{would}");
    assert!(would["packages"].as_array().unwrap().iter().any(|p| p["name"] == "pybit-back"));
    let asked = farm.run(&[&REMOVE[..], &["--reason", "a mistake"]].concat());
    assert!(!asked.status.success(), "without --yes nothing is taken out");
    assert!(String::from_utf8_lossy(&asked.stderr).contains("--yes"));
    assert_eq!(farm.published("pybit-back"), ["99.0"], "nothing has changed");

    let yes = ["--reason", "it took another's name", "--yes", "--wait", "--json"];
    let done = farm.json(&[&REMOVE[..], &yes].concat());
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["packages"], would["packages"]);
    assert!(farm.published("pybit-back").is_empty(), "readers no longer see it");
    let told = history(&farm);
    assert!(told[0]["published"]["version"] == "99.0", "{told:?}");
    let removal = &told[1]["removal"];
    assert_eq!(removal["reason"], "it took another's name");
    assert!(removal["principal"].as_str().is_some_and(|who| !who.is_empty()), "{removal}");
    assert_eq!(told.len(), 2, "a dry run is no removal: {told:?}");

    // The version that readers may have does not come back changed.
    std::fs::remove_dir_all(farm.path().join("pybit-back-99.0")).unwrap();
    let (_, job) = build(&farm, &tree(&farm, "99.0", "other"));
    let refused = farm.wait_status(job, "Failed");
    let message = refused["job"]["failure"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("99.0") && message.contains("other bytes"), "{message}");
    farm.wait_status(build(&farm, &tree(&farm, "1.1", "good")).1, "Done");
    assert_eq!(farm.published("pybit-back"), ["1.1"]);
}

/// A watcher that is told to do something wrong.
#[cfg(feature = "trial")]
fn watcher_told(farm: &Farm, told: (&str, &str)) -> Role {
    let config = farm.watch_config();
    let args = ["--config", config.to_str().unwrap(), "watch"];
    Role::start_with("watcher", farm.path(), &args, &[told])
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro, the user pybit-build and the feature trial"]
#[cfg(feature = "trial")]
fn a_watcher_killed_between_a_publication_and_its_report_brings_back_nothing_that_was_removed() {
    let farm = Farm::new("");
    let _web = farm.web();
    let _client = farm.client("one");
    let mut dying = watcher_told(&farm, ("PYBIT_TRIAL_CRASH", "publish_done_before_report:1"));
    let (_, bad) = build(&farm, &tree(&farm, "1.0", "bad"));
    wait_for("the watcher's end", DEADLINE, || dying.child.try_wait().unwrap());
    assert_eq!(farm.published("pybit-back"), ["1.0"]);
    let asked = farm.json(&[&REMOVE[..], &["--reason", "bad", "--yes", "--json"]].concat());
    // The publication that is tried again stands still, so that the removal comes first.
    let stall = ("PYBIT_TRIAL_STALL", "publish_fetched_before_tools:1500:100");
    let _watcher = watcher_told(&farm, stall);
    farm.wait_status(bad, "Done");
    let path = format!("/api/v1/repositories/bookworm/orders/{}", asked["id"]);
    wait_for("the removal", DEADLINE, || {
        let seen: Value = serde_json::from_str(&farm.get(&path).1).unwrap();
        Some(seen).filter(|order| order["state"] == "done")
    });
    // The owner's next build goes in, though its version is lower, and nothing else does.
    farm.wait_status(build(&farm, &tree(&farm, "0.9", "good")).1, "Done");
    assert_eq!(farm.published("pybit-back"), ["0.9"]);
    let told = history(&farm);
    assert!(told[0]["published"]["version"] == "1.0", "{told:?}");
    assert!(told[1]["removal"]["state"] == "done", "{told:?}");
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro, the user pybit-build and the feature trial"]
#[cfg(feature = "trial")]
fn a_watcher_killed_between_a_removal_and_its_report_loses_no_record() {
    for point in ["publish_order_started_before_removal", "publish_order_removed_before_report"] {
        let farm = Farm::new("");
        let _web = farm.web();
        let client = farm.client("one");
        let watcher = farm.watcher();
        farm.wait_status(build(&farm, &tree(&farm, "1.0", "bad")).1, "Done");
        drop(client);
        watcher.kill();
        let order = farm.json(&[&REMOVE[..], &["--reason", "bad", "--yes", "--json"]].concat());
        assert_eq!(order["state"], "pending");
        let mut dying = watcher_told(&farm, ("PYBIT_TRIAL_CRASH", &format!("{point}:1")));
        wait_for("the watcher's end", DEADLINE, || dying.child.try_wait().unwrap());
        let path = format!("/api/v1/repositories/bookworm/orders/{}", order["id"]);
        let seen = || serde_json::from_str::<Value>(&farm.get(&path).1).unwrap();
        let before = seen();
        assert_eq!(before["state"], "started", "{before}");
        let _watcher = farm.watcher();
        let done = wait_for("the removal", DEADLINE, || {
            Some(seen()).filter(|order| order["state"] == "done")
        });
        assert_eq!(done["packages"], before["packages"], "{point}");
        assert!(!done["packages"].as_array().unwrap().is_empty());
        assert!(farm.published("pybit-back").is_empty());
    }
}
