//! How the tools are started: nothing outlives its run, gpg's agent least of all.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use pybit_backends::publish::{Done, Tool};
use pybit_core::ErrorKind;

use crate::fixture::tools;

async fn run(argv: &[&str], cwd: &Path) -> Done {
    let argv: Vec<_> = argv.iter().map(ToString::to_string).collect();
    tools().run(&argv, cwd, &BTreeMap::new()).await.unwrap()
}

/// Processes that name `dir` on their command line, the dead that nobody has reaped not among them.
fn naming(dir: &Path) -> usize {
    let dir = dir.to_str().unwrap().as_bytes();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.filter(|line| line.windows(dir.len()).any(|w| w == dir)).count()
}

#[tokio::test]
async fn both_outputs_are_kept_apart_in_a_clean_environment() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&["env"], dir.path()).await;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let home = format!("HOME={}", dir.path().display());
    assert!(said.stdout.lines().any(|l| l == home), "{}", said.stdout);
    assert!(said.stdout.lines().any(|l| l == "LC_ALL=C.UTF-8"), "{}", said.stdout);
    assert!(!said.stdout.contains("CARGO"), "{}", said.stdout);
    let said = run(&["cat", "nowhere"], dir.path()).await;
    assert!(said.code == 1 && said.stdout.is_empty() && said.stderr.contains("nowhere"));
    let said = run(&["cat"], dir.path()).await;
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "standard input is empty");
}

#[tokio::test]
async fn a_signal_is_told_from_an_exit_code_and_a_missing_program_from_both() {
    let dir = tempfile::tempdir().unwrap();
    let killed = ["timeout", "--signal=KILL", "0.01", "sleep", "60"];
    assert_eq!(run(&killed, dir.path()).await.code, -9);
    let missing = ["no-such-program".to_owned()];
    let error = tools().run(&missing, dir.path(), &BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("no-such-program cannot be started"), "{error}");
}

#[tokio::test]
async fn output_without_end_ends_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let endless = ["cat", "/dev/zero"].map(str::to_owned);
    let error = tools().run(&endless, dir.path(), &BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_run_that_is_given_up_ends_its_program() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("never-written");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (argv, cwd) = (["cat".to_owned(), fifo.display().to_string()], dir.path().to_owned());
    let task =
        tokio::spawn(async move { tools().run(&argv, &cwd, &BTreeMap::new()).await.map(|_| ()) });
    let start = Instant::now();
    while naming(&fifo) == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "it never starts");
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(naming(&fifo), 0);
}

#[tokio::test]
#[ignore = "needs gnupg"]
async fn gpg_starts_its_agent_again_for_each_run_and_no_agent_is_left() {
    let home = tempfile::Builder::new().prefix("pybit-gpg-").tempdir().unwrap();
    let path = home.path().to_str().unwrap();
    let fixed = ["gpg", "--homedir", path, "--batch", "--passphrase", ""];
    let made = [&fixed[..], &["--quick-generate-key", "A Tester", "ed25519", "sign"]].concat();
    let made = run(&made, home.path()).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(naming(home.path()), 0, "no agent is left");
    // An agent that is ended has, or has not, the time to remove its socket: the worse case is made here.
    let socket = home.path().join("S.gpg-agent");
    if !socket.exists() {
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    }
    std::fs::write(home.path().join("text"), "text").unwrap();
    let sign = [&fixed[..], &["--yes", "--detach-sign", "text"]].concat();
    for _ in 0..3 {
        let signed = run(&sign, home.path()).await;
        assert_eq!(signed.code, 0, "{}", signed.stderr);
        assert_eq!(naming(home.path()), 0, "no agent is left");
    }
}
