//! Uploads that people and tools drop into a directory.

use std::path::Path;
use std::process::Command;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, wait_for};

/// Builds a package as a maintainer would, and returns the directory of the upload.
fn built(farm: &Farm, name: &str) -> std::path::PathBuf {
    let parent = farm.path().join("maintainer");
    let tree = Package::new(name, "1.0").write(&parent);
    let args = ["-us", "-uc", "--build=full", "--no-sign"];
    let output = Command::new("dpkg-buildpackage").args(args).current_dir(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parent
}

fn files_of(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.filter(|p| p.is_file()).collect()
}

#[test]
#[ignore = "needs dpkg-dev, debhelper and reprepro"]
fn a_drop_is_published_once_it_is_complete_and_not_before() {
    let farm = Farm::new("");
    let _web = farm.web();
    let _watcher = farm.watcher();
    let incoming = farm.path().join("incoming");
    wait_for("the drop directory", DEADLINE, || incoming.join("rejected").is_dir().then_some(()));
    let upload = built(&farm, "pybit-drop");
    let files = files_of(&upload);
    let deb = files.iter().find(|p| p.extension().is_some_and(|e| e == "deb")).unwrap();
    for file in files.iter().filter(|f| *f != deb) {
        std::fs::copy(file, incoming.join(file.file_name().unwrap())).unwrap();
    }
    let whole = std::fs::read(deb).unwrap();
    let arriving = incoming.join(deb.file_name().unwrap());
    std::fs::write(&arriving, &whole[..whole.len() / 2]).unwrap();
    assert!(farm.published("pybit-drop").is_empty(), "half an upload is not published");
    std::fs::write(&arriving, &whole).unwrap();
    wait_for("the publication", DEADLINE, || {
        (farm.published("pybit-drop") == ["1.0"]).then_some(())
    });
    wait_for("the drop to be taken away", DEADLINE, || {
        files_of(&incoming).is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs dpkg-dev, debhelper and reprepro"]
fn what_arrived_while_the_watcher_was_down_is_published_and_a_wrong_drop_is_refused_with_the_reason()
 {
    let farm = Farm::new("");
    let _web = farm.web();
    let incoming = farm.path().join("incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    for file in files_of(&built(&farm, "pybit-early")) {
        std::fs::copy(&file, incoming.join(file.file_name().unwrap())).unwrap();
    }
    let evil = "Format: 1.8\nSource: evil\nVersion: 1\nFiles:\n 00 1 misc optional ../../evil\n";
    std::fs::write(incoming.join("evil_1_amd64.changes"), evil).unwrap();
    let _watcher = farm.watcher();
    wait_for("the publication", DEADLINE, || {
        (farm.published("pybit-early") == ["1.0"]).then_some(())
    });
    let reason = incoming.join("rejected/evil_1_amd64.changes/reason.txt");
    wait_for("the refusal", DEADLINE, || reason.is_file().then_some(()));
    assert!(!std::fs::read_to_string(reason).unwrap().trim().is_empty());
}
