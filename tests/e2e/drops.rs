//! Uploads that people and tools drop into a directory.

use std::path::{Path, PathBuf};

use crate::keys::Keys;
use crate::support::package::Package;
use crate::support::upload::{built, drop_files, files_of, source_alone};
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

/// A signed upload of source alone; its files, the `.changes` last.
fn signed_source(farm: &Farm, keys: &Keys, key: &str, version: &str) -> Vec<PathBuf> {
    let dir = source_alone(farm.path(), &Package::new("pybit-src", version));
    let mut files = files_of(&dir);
    let is_changes = |p: &PathBuf| p.extension().is_some_and(|e| e == "changes");
    keys.debsign(key, files.iter().find(|p| is_changes(p)).unwrap());
    files.sort_by_key(is_changes);
    files
}

/// Adds to the watcher's configuration: `watch` to the table itself, `drop` to its drop directory.
fn configure(farm: &Farm, watch: &str, drop: &str) {
    let config = farm.watch_config();
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replacen("[watch]\n", &format!("[watch]\n{watch}\n"), 1) + drop + "\n";
    std::fs::write(config, text).unwrap();
}

fn wait_taken(incoming: &Path) {
    wait_for("the drop to be taken away", DEADLINE, || files_of(incoming).is_empty().then_some(()));
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, devscripts, gpg, gpgv, reprepro and the user pybit-build"]
fn a_signed_drop_of_source_alone_is_built_once_and_published() {
    let keys = Keys::new();
    let ann = keys.make("ann@example.org");
    let farm = Farm::new("");
    let _web = farm.web();
    let token = farm.token("drops", &["--role", "submit"]);
    let keyring = keys.ring("uploaders.gpg", &ann);
    configure(
        &farm,
        &format!("submit_token_file = \"{}\"", token.display()),
        &format!("keyring = \"{}\"", keyring.display()),
    );
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let incoming = farm.path().join("incoming");
    wait_for("the drop directory", DEADLINE, || incoming.join("rejected").is_dir().then_some(()));
    let upload = signed_source(&farm, &keys, &ann, "1.0");
    drop_files(&upload, &incoming);
    wait_for("the package", DEADLINE, || {
        let failed = farm.jobs("status=Failed");
        assert_eq!(failed.as_array().unwrap().len(), 0, "{failed}");
        (farm.published("pybit-src") == ["1.0"]).then_some(())
    });
    wait_taken(&incoming);
    let jobs = || farm.jobs("").as_array().unwrap().len();
    assert_eq!(jobs(), 1);

    // The same bytes once more are no new upload, as after a watcher that was killed before it took them away.
    drop_files(&upload, &incoming);
    wait_taken(&incoming);
    assert_eq!(jobs(), 1);
    // What the farm refuses lies there with the farm's words.
    let older = signed_source(&farm, &keys, &ann, "0.9");
    drop_files(&older, &incoming);
    let name = older.last().unwrap().file_name().unwrap().to_owned();
    let reason = incoming.join("rejected").join(name).join("reason.txt");
    wait_for("the refusal", DEADLINE, || reason.is_file().then_some(()));
    let said = std::fs::read_to_string(reason).unwrap();
    assert!(said.contains("older than 1.0"), "{said}");
    assert_eq!(jobs(), 1);
}

#[test]
fn a_watcher_that_is_to_build_and_cannot_submit_says_so() {
    let farm = Farm::new("");
    let _web = farm.web();
    configure(&farm, "", "build = true");
    let config = farm.watch_config();
    let ended = farm.run(&["--config", config.to_str().unwrap(), "watch"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("watch.submit_token_file"), "{said}");
}
