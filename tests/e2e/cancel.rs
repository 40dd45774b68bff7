//! Cancelling ends the whole process tree.

use std::time::{Duration, Instant};

use crate::support::package::Package;
use crate::support::process::processes_with;
use crate::support::{Farm, outcomes, wait_for};

#[test]
#[ignore = "needs dpkg-dev, debhelper and the user pybit-build"]
fn a_cancelled_build_leaves_no_process_and_no_directory() {
    let farm = Farm::new("");
    let _web = farm.web();
    let _client = farm.client("one");
    let gate = farm.path().join("never-opened");
    // A daemon in a session of its own, which ignores what it can ignore.
    let package = Package::new("pybit-cancel", "1.0")
        .build(&format!(
            "setsid sh -c 'trap \"\" TERM HUP INT; while [ ! -e {} ]; do sleep 0.1; done' &",
            gate.display()
        ))
        .gate(&gate);
    let tree = package.write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    let marker = gate.to_str().unwrap();
    assert!(!processes_with(marker).is_empty(), "the build runs");
    let asked = Instant::now();
    farm.json(&["cancel", &job.to_string(), "--json"]);
    wait_for("every process of the build to be gone", Duration::from_secs(3), || {
        processes_with(marker).is_empty().then_some(())
    });
    let detail = farm.wait_status(job, "Cancelled");
    assert!(asked.elapsed() < Duration::from_secs(10), "confirmed soon: {detail}");
    wait_for("the job's directory to be gone", Duration::from_secs(3), || {
        std::fs::read_dir(farm.jobs_dir("one"))
            .map_or(Some(()), |mut dir| dir.next().is_none().then_some(()))
    });
    assert_eq!(outcomes(&detail), ["cancelled"]);
}
