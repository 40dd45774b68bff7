//! The packages that mock's package manager takes where distribution and farm both have one, by the real `dnf`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pybit_core::format::BuildRepository;

use super::repository::{Repository, run};
use super::spec;
use super::stage::{Ended, Stage};
use crate::support::{MemoryLog, open_dir};

/// Builds a package.
fn package(dir: &Path, name: &str, version: &str, head: &str) -> PathBuf {
    let text = spec(name, head, ":").replace("Version: 1.0", &format!("Version: {version}"));
    let file = dir.join(format!("{name}.spec"));
    fs::write(&file, text).unwrap();
    let define = |name: &str, value: &str| format!("--define={name} {}/{value}", dir.display());
    run(Command::new("rpmbuild").args(["-bb", "--quiet"]).arg(file).args([
        define("_topdir", "top"),
        define("_rpmdir", ""),
        "--define=_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
    ]));
    dir.join(format!("{name}-{version}-1.noarch.rpm"))
}

/// A build with these lines in the head of its spec file: the packages that its root would have of others, as `name version` with `farm`
/// for those of the farm.
async fn chosen(stage: &Stage, head: &str, access: &[BuildRepository]) -> (Vec<String>, String) {
    let source = stage.source(&stage.tree("innocent", &spec("innocent", head, ":"))).await;
    let log = MemoryLog::default();
    let ended = stage.binary(&source, access, &log).await;
    let calls = stage.calls();
    let last = calls.iter().rfind(|call| call["chosen"].is_array()).unwrap();
    assert!(matches!(ended, Ended::Well(_)), "{last} {}", log.text());
    let shown = |row: &serde_json::Value| {
        let words: Vec<_> = row.as_array().unwrap().iter().filter_map(|w| w.as_str()).collect();
        let farm = if words[2] == "distribution" { "" } else { " farm" };
        format!("{} {}{farm}", words[0], words[1])
    };
    (last["chosen"].as_array().unwrap().iter().map(shown).collect(), log.text())
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build, rpmbuild, createrepo_c, dnf and gpg"]
async fn mock_takes_the_farms_package_only_where_the_distribution_has_none_that_fits() {
    let (own, theirs) = (open_dir(), open_dir());
    for (name, version) in [("make", "4.0"), ("mylib", "1.0")] {
        package(theirs.path(), name, version, "");
    }
    run(Command::new("createrepo_c").arg("--quiet").arg(theirs.path()));
    let farm = [
        package(own.path(), "make", "99", ""),
        package(own.path(), "evil", "99", "Provides: make = 99\nObsoletes: make < 99"),
        package(own.path(), "mylib", "2.0", "Requires: make"),
    ];
    let stage = Stage::new("{}");
    let config = serde_json::json!({"distribution": theirs.path()});
    stage.configure(&config.to_string());
    let repository = Repository::new(stage.path(), &farm);
    let farms = [repository.access()];
    let overlay = [BuildRepository { overlay: true, ..repository.access() }];
    let unversioned = "BuildRequires: make\nBuildRequires: mylib";
    let newer = "BuildRequires: make\nBuildRequires: mylib >= 2";
    let (taken, _) = chosen(&stage, unversioned, &farms).await;
    assert_eq!(taken, ["make 4.0-1", "mylib 1.0-1"]);
    let (taken, log) = chosen(&stage, newer, &farms).await;
    assert_eq!(taken, ["make 4.0-1", "mylib 2.0-1 farm"]);
    assert!(!log.contains("pybit: overlay: "), "{log}");
    let (taken, log) = chosen(&stage, unversioned, &overlay).await;
    assert!(taken.contains(&"mylib 2.0-1 farm".to_owned()), "{taken:?}");
    assert!(log.contains("pybit: overlay: the newest of the distribution's and of "), "{log}");
}
