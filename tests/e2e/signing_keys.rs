//! The keys of repositories: an operator rolls one over, and a key that has ended is told.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, wait_for};

/// The keys of the only repository.
fn keys(farm: &Farm) -> Vec<Value> {
    let answers = farm.json(&["repository", "keys", "--json"]);
    assert_eq!(
        (&answers[0]["repository"], answers[0]["answered"].as_bool()),
        (&"bookworm".into(), Some(true))
    );
    answers[0]["keys"].as_array().unwrap().clone()
}

const ROLL: [&str; 3] = ["repository", "roll-key", "bookworm"];

#[test]
#[ignore = "needs reprepro and gnupg"]
fn an_operator_rolls_a_key_over_and_the_farm_gives_both_keys_out() {
    let farm = Farm::new("");
    let (_web, _watcher) = (farm.web(), farm.watcher());
    let before = keys(&farm);
    assert_eq!(before.len(), 1, "{before:?}");
    let public = || farm.api("/api/v1/catalogue")["repositories"][0]["public_key"].clone();
    let old = wait_for("the key", DEADLINE, || Some(public()).filter(Value::is_string));
    let would = farm.json(&[&ROLL[..], &["--dry-run", "--json"]].concat());
    assert_eq!((&would["state"], &would["keys"]), (&"done".into(), &before.clone().into()));
    let asked = farm.run(&[&ROLL[..], &["--reason", "yearly"]].concat());
    assert!(!asked.status.success() && String::from_utf8_lossy(&asked.stderr).contains("--yes"));
    assert_eq!(keys(&farm), before, "nothing has changed");

    let yes = ["--reason", "yearly", "--yes", "--wait", "--json"];
    let done = farm.json(&[&ROLL[..], &yes].concat());
    assert_eq!((&done["state"], &done["reason"]), (&"done".into(), &"yearly".into()), "{done}");
    assert!(done["principal"].as_str().is_some_and(|who| !who.is_empty()), "{done}");
    let during = keys(&farm);
    assert_eq!(done["keys"], Value::from(during.clone()));
    assert_eq!(during[0]["fingerprint"], before[0]["fingerprint"]);
    assert!(during.len() == 2 && during[0]["signs_until"].is_string(), "{during:?}");
    wait_for("the new key to be known", DEADLINE, || (public() != old).then_some(()));
    let again = farm.run(&[&ROLL[..], &["--reason", "again", "--yes", "--wait"]].concat());
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("a roll-over is under way"), "{said}");
    let shown = farm.run(&["repository", "keys", "bookworm"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("signs until") && shown.contains("beside the old one"), "{shown}");
}

/// gpg with the keys of this directory; its output.
fn gpg(home: &Path, args: &[&str]) -> String {
    let fixed = ["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
    let run = Command::new("gpg").arg("--homedir").arg(home).args(fixed).args(args).output();
    let run = run.unwrap();
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status().unwrap();
    String::from_utf8(run.stdout).unwrap()
}

/// Imports a key that expired in 2021 into the repository's keys, and names it to the watcher; its fingerprint.
fn sign_with_an_expired_key(farm: &Farm, gnupg: &Path) -> String {
    let home = tempfile::Builder::new().prefix("gpg-").tempdir().unwrap();
    let then = ["--faked-system-time", "20200101T000000"];
    gpg(
        home.path(),
        &[&then[..], &["--quick-generate-key", "old", "ed25519", "sign", "1y"]].concat(),
    );
    let file = farm.path().join("old.asc");
    let exported = gpg(home.path(), &["--armor", "--export-secret-keys"]);
    std::fs::write(&file, exported).unwrap();
    gpg(gnupg, &["--import", file.to_str().unwrap()]);
    let listing = gpg(home.path(), &["--with-colons", "--list-secret-keys"]);
    let fingerprint = listing.lines().find_map(|l| l.strip_prefix("fpr:::::::::")).unwrap();
    let fingerprint = fingerprint.trim_end_matches(':').to_owned();
    let config = farm.watch_config();
    let text = std::fs::read_to_string(&config).unwrap();
    let line = "name = \"bookworm\"\n";
    assert!(text.contains(line));
    let text = text.replacen(line, &format!("{line}key = \"{fingerprint}\"\n"), 1);
    std::fs::write(&config, text).unwrap();
    fingerprint
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro, gnupg and the user pybit-build"]
fn a_key_that_has_expired_is_the_reason_in_why_and_the_command_that_it_names_heals_it() {
    let farm = Farm::new("");
    let _web = farm.web();
    let first = farm.watcher();
    keys(&farm);
    first.kill();
    let gnupg = farm.path().join("data/repositories/bookworm/gnupg");
    let key = sign_with_an_expired_key(&farm, &gnupg);
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let tree = Package::new("pybit-late", "1.0").write(farm.path());
    let (submission, _) = farm.submit(&tree);
    let job = farm.binary_job(&submission);
    farm.wait_status(job, "Uploaded");
    let path = format!("/api/v1/jobs/{job}/why");
    let why = wait_for("the reason", DEADLINE, || {
        let why = farm.api(&path)["summary"].as_str().unwrap().to_owned();
        why.contains("expired").then_some(why)
    });
    assert!(why.contains(&format!("the key {key} expired at 202")), "{why}");
    assert!(why.contains(&format!("--quick-set-expire {key} 2y")), "{why}");
    let said = farm.run(&["why", &job.to_string()]);
    let said = String::from_utf8_lossy(&said.stdout).replace('\n', " ");
    assert!(said.contains("expired at"), "{said}");
    assert!(farm.published("pybit-late").is_empty());
    let refused = farm.run(&[&ROLL[..], &["--dry-run"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("imported"), "{said}");
    gpg(&gnupg, &["--quick-set-expire", &key, "2y"]);
    farm.wait_status(job, "Done");
    assert_eq!(farm.published("pybit-late"), ["1.0"]);
}
