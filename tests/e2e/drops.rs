//! Uploads that people and tools drop into a directory.

use crate::support::package::Package;
use crate::support::upload::{built, drop_files, files_of};
use crate::support::{DEADLINE, Farm, wait_for};

#[test]
#[ignore = "needs dpkg-dev, debhelper and reprepro"]
fn a_drop_is_published_once_it_is_complete_and_not_before() {
    let farm = Farm::new("");
    let _web = farm.web();
    let _watcher = farm.watcher();
    let incoming = farm.path().join("incoming");
    wait_for("the drop directory", DEADLINE, || incoming.join("rejected").is_dir().then_some(()));
    let upload = built(farm.path(), &Package::new("pybit-drop", "1.0"));
    let files = files_of(&upload);
    let deb = files.iter().find(|p| p.extension().is_some_and(|e| e == "deb")).unwrap();
    drop_files(files.iter().filter(|f| *f != deb), &incoming);
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
    let early = built(farm.path(), &Package::new("pybit-early", "1.0"));
    drop_files(&files_of(&early), &incoming);
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
