//! Short runs of the fault harness, one for each pair of services.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]

use std::path::{Path, PathBuf};
use std::process::Command;

const CHAOS: &str = env!("CARGO_BIN_EXE_pybit-chaos");

/// The command, which the workspace's build has put beside the harness.
fn pybit() -> PathBuf {
    let pybit = Path::new(CHAOS).with_file_name("pybit");
    assert!(pybit.exists(), "build the command first: cargo build -p pybit");
    pybit
}

/// The services are private ones of this run: the ones of the other tests must live.
#[expect(clippy::disallowed_methods, reason = "the harness is a program of its own")]
fn run(backends: &str, services: bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut words = Vec::new();
    if services {
        words.extend([
            root.join("tools/services").display().to_string(),
            "run".into(),
            "--".into(),
        ]);
    }
    let pybit = pybit().display().to_string();
    let own = ["run", "--jobs", "100", "--faults", "20", "--seed", "1", "--window-secs", "25"];
    words.push(CHAOS.to_owned());
    words.extend(own.map(str::to_owned));
    words.extend(["--backends".to_owned(), backends.to_owned(), "--pybit".to_owned(), pybit]);
    let output = Command::new(&words[0]).args(&words[1..]).current_dir(root).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.lines().any(|l| l.starts_with("{\"holds\":true")), "{said}");
}

#[test]
#[ignore = "needs PostgreSQL, RabbitMQ, reprepro, strace and libfaketime"]
fn nothing_is_lost_on_postgresql_and_rabbitmq() {
    run("postgres+rabbitmq", true);
}

#[test]
#[ignore = "needs reprepro, strace and libfaketime"]
fn nothing_is_lost_on_sqlite_and_zeromq() {
    run("sqlite+zeromq", false);
}
