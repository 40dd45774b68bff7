//! `pybit storage`: the database as a whole, by the built program.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{DEADLINE, Farm, database, wait_for};
use crate::{Lone, Said, said};

/// A farm that has run: its database has tokens, a catalogue and a name of its own.
fn ended_farm() -> Farm {
    let farm = Farm::new("");
    drop(farm.web());
    farm
}

fn storage(farm: &Farm, words: &[&str]) -> Said {
    said(farm.run(&[&["storage"], words].concat()))
}

fn json(ran: &Said) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

/// A place for another database in the farm's directory.
fn url(farm: &Farm, name: &str) -> String {
    format!("sqlite://{}", farm.path().join(name).display())
}

#[test]
fn a_database_is_made_and_brought_up_to_date_once() {
    let pybit = Lone::new();
    let first = pybit.run(&["storage", "migrate"]);
    assert_eq!((first.code, first.err.as_str()), (0, ""));
    assert!(first.out.contains("was empty and has schema version"), "{}", first.out);
    let again = pybit.run(&["storage", "migrate"]);
    assert_eq!(again.code, 0);
    assert!(again.out.contains("nothing to do"), "{}", again.out);
    let told = json(&pybit.run(&["storage", "migrate", "--json"]));
    assert!(told["from"] == told["to"] && told["to"].as_i64() > Some(0), "{told}");
    let doctor = pybit.run(&["doctor", "--role", "web"]);
    assert!(doctor.out.contains("answers, schema version"), "{}", doctor.out);
}

#[test]
fn a_database_that_is_not_there_is_named_and_not_made() {
    let pybit = Lone::new();
    let line = pybit.refused(&["storage", "check"]);
    assert!(
        line.contains("there is no database sqlite:") && line.contains("pybit-data/farm.db"),
        "{line}"
    );
    assert!(!pybit.path().join("pybit-data").exists());
    let doctor = pybit.run(&["doctor", "--role", "web", "--json"]);
    let trouble = json(&doctor)["storage"]["trouble"].clone();
    assert_eq!(trouble, "it is not there yet; a server makes it");
    assert!(!pybit.path().join("pybit-data").exists());
}

#[test]
fn a_password_is_never_shown() {
    let pybit = Lone::new();
    let secret = "postgres://me:geheim@127.0.0.1:1/farm";
    pybit.run(&["storage", "migrate"]);
    let line = pybit.refused(&["storage", "copy", "--to", secret]);
    assert!(line.contains("postgres://127.0.0.1:1/farm") && !line.contains("geheim"), "{line}");
    let line = pybit.refused(&["storage", "copy", "--to", "memory:"]);
    assert!(line.contains("sqlite: or postgres:"), "{line}");
    let line = pybit.refused(&["storage", "copy", "--from", secret, "--to", "sqlite:x.db"]);
    assert!(!line.contains("geheim") && !line.contains("me:"), "{line}");
    std::fs::write(pybit.path().join("pybit.toml"), format!("[storage]\nurl = \"{secret}\"\n"))
        .unwrap();
    for words in [&["storage", "check"][..], &["storage", "migrate"], &["doctor", "--role", "web"]]
    {
        let ran = pybit.run(words);
        let text = ran.out + &ran.err;
        assert!(text.contains("postgres://127.0.0.1:1/farm") && !text.contains("geheim"), "{text}");
    }
}

#[test]
fn a_farm_is_checked_while_it_runs_and_copied_when_it_does_not() {
    let farm = Farm::new("");
    let web = farm.web();
    let checked = storage(&farm, &["check", "--json"]);
    let told = json(&checked);
    assert_eq!((checked.code, &told["clean"]), (0, &Value::Bool(true)), "{told}");
    assert_eq!(told["rows"]["farm"], 1);
    let to = url(&farm, "grown/farm.db");
    let refused = storage(&farm, &["copy", "--to", &to]).refused(&["copy"]);
    assert!(
        refused.contains("is in use: process") && refused.contains("stop every server"),
        "{refused}"
    );
    drop(web);
    let copied = storage(&farm, &["copy", "--to", &to]);
    assert_eq!(copied.code, 0, "{}", copied.err);
    let blobs = farm.path().join("data/blobs").display().to_string();
    assert!(copied.out.contains("both sides were read and are equal"), "{}", copied.out);
    assert!(copied.out.contains(&format!("the folder {blobs}.")), "{}", copied.out);
    let again = storage(&farm, &["copy", "--to", &to]).refused(&["copy"]);
    assert!(again.contains("the target is not empty"), "{again}");
    // The farm on its new database is the same: its token opens it.
    let config = farm.path().join("pybit.toml");
    let moved = std::fs::read_to_string(&config).unwrap() + &format!("[storage]\nurl = \"{to}\"\n");
    std::fs::write(config, moved).unwrap();
    let _web = farm.web();
    assert_eq!(farm.json(&["token", "list", "--json"]).as_array().unwrap().len(), 1);
}

#[test]
fn findings_are_printed_with_what_to_do_and_fail_the_command() {
    let farm = ended_farm();
    storage(&farm, &["check"]);
    let file = farm.path().join("data/farm.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let checked = storage(&farm, &["check"]);
    assert_eq!(checked.code, 1);
    assert!(
        checked.out.contains("engine: ") && checked.out.contains("what to do: "),
        "{}",
        checked.out
    );
    let told = storage(&farm, &["check", "--json"]);
    assert_eq!((told.code, &json(&told)["clean"]), (1, &Value::Bool(false)));
}

/// The farm's configuration with another database.
fn on(farm: &Farm, database: &str) -> PathBuf {
    let config = std::fs::read_to_string(farm.path().join("pybit.toml")).unwrap();
    let file = farm.path().join("other.toml");
    std::fs::write(&file, config + &format!("[storage]\nurl = \"{database}\"\n")).unwrap();
    file
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_copy_that_is_killed_leaves_nothing_and_is_made_again() {
    let farm = ended_farm();
    let to = database::create();
    let config = on(&farm, &to);
    let config = config.to_str().unwrap();
    let migrated = said(farm.run(&["--config", config, "storage", "migrate"]));
    assert_eq!(migrated.code, 0, "{}", migrated.err);
    // The copy waits for this lock when it has written the farm's catalogue: tokens come last.
    let lock = "BEGIN; LOCK TABLE token IN SHARE MODE; SELECT pg_sleep(600)";
    let mut locking = Command::new("psql")
        .args([&to, "-qc", lock])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let count = |query: &str| {
        database::query(&to, &format!("SELECT count(*) FROM {query}")).parse::<i64>().unwrap()
    };
    let until =
        |what: &str, query: &str| wait_for(what, DEADLINE, || (count(query) > 0).then_some(()));
    until(
        "the lock",
        "pg_locks WHERE relation = 'token'::regclass AND mode = 'ShareLock' AND granted",
    );
    let mut copying = farm.command(&["storage", "copy", "--to", &to]);
    let mut copying = copying.stdout(Stdio::null()).spawn().unwrap();
    let waits =
        "pg_stat_activity WHERE application_name = 'pybit storage' AND wait_event_type = 'Lock'
                 AND query LIKE 'INSERT INTO token%'";
    until("the copy to wait", waits);
    copying.kill().unwrap();
    copying.wait().unwrap();
    database::query(
        &to,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE%' AND pid <> pg_backend_pid()",
    );
    locking.wait().unwrap();
    for table in ["farm", "target", "repository", "token"] {
        wait_for("the server to notice", DEADLINE, || (count(table) == 0).then_some(()));
    }
    let copied = said(farm.run(&["storage", "copy", "--to", &to, "--json"]));
    let told = json(&copied);
    assert_eq!(
        (copied.code, &told["blobs"]),
        (0, &Value::String(format!("file://{}", farm.path().join("data/blobs").display())))
    );
    assert!(!copied.out.contains('@'), "neither user nor password: {}", copied.out);
    let checked = said(farm.run(&["--config", config, "storage", "check"]));
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(checked.out.contains("nothing is wrong"), "{}", checked.out);
    let back = url(&farm, "back.db");
    let returned = said(farm.run(&["storage", "copy", "--from", &to, "--to", &back, "--json"]));
    assert_eq!(json(&returned)["tables"], told["tables"], "every table has the same digest again");
}
