//! A binary package's name belongs to its source: by every way in, until an operator allows the move.

use std::path::PathBuf;

use crate::support::package::Package;
use crate::support::upload::{built, drop_files, files_of, source_alone};
use crate::support::{DEADLINE, Farm, wait_for};

fn hijack(version: &str) -> Package {
    Package::new("sec-hijack", version).builds("sec-base")
}

/// A farm's address of its list of packages, once the watcher has told this one.
fn wait_known(farm: &Farm, package: &str) {
    let said = format!("\"name\":\"{package}\"");
    wait_for("the farm to know the package", DEADLINE, || {
        let (found, list) = farm.get("/api/v1/repositories/bookworm/packages");
        (found && list.contains(&said)).then_some(())
    });
}

fn both(text: &str) {
    assert!(text.contains("sec-base belongs to the source sec-base"), "{text}");
    assert!(text.contains("sec-hijack may not publish it"), "{text}");
}

fn dsc(farm: &Farm, version: &str) -> PathBuf {
    let dir = source_alone(&farm.path().join(format!("source-{version}")), &hijack(version));
    let is_dsc = |p: &PathBuf| p.extension().is_some_and(|e| e == "dsc");
    files_of(&dir).into_iter().find(is_dsc).unwrap()
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_name_of_another_source_is_refused_before_it_is_built_until_the_move_is_allowed() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let tree = Package::new("sec-base", "1.0").write(farm.path());
    farm.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--wait", "--json"]);
    assert_eq!(farm.published("sec-base"), ["1.0"]);
    wait_known(&farm, "sec-base");

    let tree = hijack("99.0").write(farm.path());
    let (submission, source) = farm.submit(&tree);
    let failed = farm.wait_status(source, "Failed");
    both(&failed.to_string());
    let jobs = farm.json(&["jobs", "--submission", &submission, "--json"]);
    assert_eq!(jobs.as_array().unwrap().len(), 1, "nothing of it is built: {jobs}");

    let dsc = dsc(&farm, "99.1");
    let plan = ["submit", dsc.to_str().unwrap(), "--suite", "bookworm", "--dry-run", "--json"];
    let refused = farm.run(&plan);
    assert!(!refused.status.success());
    both(&String::from_utf8_lossy(&refused.stderr));

    let incoming = farm.path().join("incoming");
    let upload = built(&farm.path().join("dropped"), &hijack("99.2"));
    drop_files(&files_of(&upload), &incoming);
    let reason = wait_for("the refusal of the drop", DEADLINE, || {
        let folders = std::fs::read_dir(incoming.join("rejected")).ok()?;
        let mut reasons = folders.flatten().map(|f| f.path().join("reason.txt"));
        reasons.find_map(|file| std::fs::read_to_string(file).ok())
    });
    both(&reason);
    assert_eq!(farm.published("sec-base"), ["1.0"]);

    let exported = String::from_utf8(farm.run(&["export"]).stdout).unwrap();
    let moves = "repository = \"bookworm\"\nmoves = [{ binary = \"sec-base\", from = \"sec-base\", to = \"sec-hijack\", \
                 why = \"renamed upstream\" }]\n";
    let file = farm.path().join("farm.toml");
    std::fs::write(&file, exported.replacen("repository = \"bookworm\"\n", moves, 1)).unwrap();
    let applied = farm.run(&["apply", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&applied.stdout);
    let line =
        "+ move of sec-base from sec-base to sec-hijack in Debian/bookworm deb: renamed upstream";
    assert!(applied.status.success() && said.contains(line), "{applied:?}");

    let planned = farm.json(&plan).to_string();
    assert!(
        planned.contains("the name sec-base may move from sec-base to sec-hijack"),
        "{planned}"
    );
    farm.json(&["submit", dsc.to_str().unwrap(), "--suite", "bookworm", "--wait", "--json"]);
    assert_eq!(farm.published("sec-base"), ["99.1"]);
}
