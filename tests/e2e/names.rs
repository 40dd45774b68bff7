//! A binary package's name belongs to its source: by every way in, until an operator allows the move.

use std::path::PathBuf;

use crate::support::package::Package;
use crate::support::upload::{built, drop_files, files_of, source_alone};
use crate::support::{DEADLINE, Farm, Role, wait_for};

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

/// A farm whose base distribution is what `base` has published.
fn over(base: &Farm) -> (Farm, Role) {
    let key = base.path().join("data/repositories/bookworm/current/pybit.asc");
    let line = format!(
        "deb [signed-by={}] {}/repositories/bookworm bookworm main",
        key.display(),
        base.url()
    );
    let farm = Farm::new(&format!("[names.mirror]\nbookworm = [\"{line}\"]\n"));
    let web = Role::start_with("web", farm.path(), &["web"], &[("PYBIT_NAMES__ENABLED", "true")]);
    farm.wait_ready();
    wait_for("the index of the base distribution", DEADLINE, || {
        let indices = farm.api("/api/v1/names");
        indices[0]["fetched_at"].is_string().then_some(())
    });
    (farm, web)
}

#[test]
#[ignore = "needs apt, dpkg-dev, reprepro and the user pybit-build"]
fn names_of_the_base_distribution_are_refused_by_every_way_in() {
    let base = Farm::new("");
    let _base = (base.web(), base.watcher());
    let incoming = base.path().join("incoming");
    wait_for("the drop directory", DEADLINE, || incoming.join("rejected").is_dir().then_some(()));
    let original = built(base.path(), &Package::new("pybit-make", "1.0").builds("make"));
    drop_files(&files_of(&original), &incoming);
    wait_for("the base", DEADLINE, || (base.published("make") == ["1.0"]).then_some(()));

    let (farm, _web) = over(&base);
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let secret = std::fs::read_to_string(farm.token("ann", &["--role", "submit"])).unwrap();
    let submit = |package: &Package| {
        let tree = package.write(farm.path());
        let words = ["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--json"];
        let sent = farm.command(&words).env("PYBIT_TOKEN", secret.trim()).output().unwrap();
        let reply: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
        farm.wait_status(reply["jobs"][0]["id"].as_i64().unwrap(), "Failed").to_string()
    };
    // A binary package of the distribution's, from a source of the submitter's own.
    let said = submit(&Package::new("sec-make", "1.0").builds("make"));
    assert!(said.contains("make belongs to the source pybit-make"), "{said}");
    assert!(said.contains("sec-make may not publish it"), "{said}");
    // The distribution's source, with other bytes.
    let said = submit(&Package::new("pybit-make", "99").builds("other-name"));
    assert!(said.contains("pybit-make is a source package of Debian bookworm"), "{said}");
    // Ready binaries that say they are of the distribution's source.
    let forged =
        built(&farm.path().join("forged"), &Package::new("pybit-make", "99").builds("make"));
    let incoming = farm.path().join("incoming");
    drop_files(&files_of(&forged), &incoming);
    let reason = wait_for("the refusal of the drop", DEADLINE, || {
        let folders = std::fs::read_dir(incoming.join("rejected")).ok()?;
        let mut reasons = folders.flatten().map(|f| f.path().join("reason.txt"));
        reasons.find_map(|file| std::fs::read_to_string(file).ok())
    });
    assert!(reason.contains("pybit-make is a source package of the base distribution"), "{reason}");
    assert_eq!(farm.published("make"), [""; 0]);
    // An administrator may: this is how a package of the distribution's is rebuilt with a suffix of one's own.
    let tree = Package::new("pybit-make", "1.0+own1").builds("make").write(farm.path());
    farm.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--wait", "--json"]);
    assert_eq!(farm.published("make"), ["1.0+own1"]);
}
