//! What `exec` promises: limits hold, and nothing that a command starts outlives it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{self, MemoryLog, marked, none_left, supervisor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pybit_backends::exec::{Cmd, Exec};
use pybit_core::format::Exit;
use tokio_util::sync::CancellationToken;

fn exec() -> Exec {
    Exec::new(supervisor(), None)
}

fn sh(script: &str, marker: &str) -> Cmd {
    Cmd::new(["sh", "-c", script, "sh"], Path::new("/")).var("MARKER", marker)
}

fn marker(test: &str) -> String {
    format!("pybit-test-{test}-{}", std::process::id())
}

#[tokio::test]
async fn a_command_reports_its_output_and_its_end() {
    let log = MemoryLog::default();
    let exit = exec().run(&sh("echo out; echo err >&2; exit 7", "-"), &log).await.unwrap();
    assert_eq!((exit, log.text().as_str()), (Exit::Code(7), "out\nerr\n"));
    let exit = exec().run(&sh("kill -9 $$", "-"), &log).await.unwrap();
    assert_eq!(exit, Exit::Signal(9));
}

#[tokio::test]
async fn a_short_tool_gives_its_outputs_apart_and_bounded() {
    let output = exec().output(&sh("echo out; echo err >&2", "-"), 100).await.unwrap();
    assert_eq!((output.text().unwrap().as_str(), output.complaint().as_str()), ("out\n", "err"));
    let error = exec().output(&sh("yes", "-"), 1000).await.unwrap_err();
    assert_eq!(error.code(), "too_large");
    let slow = sh("sleep 1000", "-").within(Duration::from_millis(300));
    assert_eq!(exec().output(&slow, 100).await.unwrap().exit, Exit::TimedOut);
}

#[tokio::test]
async fn what_cannot_be_started_is_said() {
    let log = MemoryLog::default();
    let missing = Cmd::new(["no-such-program"], Path::new("/"));
    let error = exec().run(&missing, &log).await.unwrap_err();
    assert_eq!(error.code(), "cannot_start");
    assert!(error.message().contains("no-such-program"), "{error}");
    let nowhere = Cmd::new(["true"], Path::new("/no/such/dir"));
    let error = exec().run(&nowhere, &log).await.unwrap_err();
    assert!(error.message().contains("/no/such/dir"), "{error}");
}

#[tokio::test]
async fn the_environment_holds_nothing_of_ours() {
    let log = MemoryLog::default();
    let env = Cmd::new(["env"], Path::new("/")).var("EXTRA", "1");
    exec().run(&env, &log).await.unwrap();
    let text = log.text();
    let mut names: Vec<_> = text.lines().filter_map(|l| l.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["EXTRA", "HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"]);
}

#[tokio::test]
async fn the_limits_hold() {
    let log = MemoryLog::default();
    let marker = marker("limits");
    let limited = |script: &str, wall: u64, silent: u64, log_bytes: u64| {
        let mut cmd = sh(script, &marker);
        cmd.limits.wall = Duration::from_millis(wall);
        cmd.limits.silent = Duration::from_millis(silent);
        cmd.limits.log_bytes = log_bytes;
        cmd
    };
    let noisy = "while :; do echo x; sleep 0.05; done";
    let cases = [
        (limited(noisy, 500, 60_000, 1 << 20), Exit::TimedOut),
        (limited("sleep 1000", 60_000, 300, 1 << 20), Exit::Silent),
        (limited("yes", 60_000, 60_000, 100_000), Exit::LogLimit),
    ];
    for (cmd, expected) in cases {
        let before = log.text().len();
        assert_eq!(exec().run(&cmd, &log).await.unwrap(), expected);
        assert_eq!(marked(&marker), [0; 0]);
        assert!(log.text().len() - before <= 100_000);
    }
}

#[tokio::test]
async fn a_command_that_ends_leaves_no_daemon() {
    let log = MemoryLog::default();
    let marker = marker("daemon");
    let script = "setsid sh -c 'sh -c \"trap : TERM HUP; while :; do sleep 1000; done\" & exit' & \
                  sleep 1000 & exec 1>&- 2>&-; exit 3";
    let exit = exec().run(&sh(script, &marker), &log).await.unwrap();
    assert_eq!(exit, Exit::Code(3));
    assert_eq!(marked(&marker), [0; 0]);
}

#[tokio::test]
async fn stopping_kills_what_ignores_signals_and_forks() {
    let log = MemoryLog::default();
    let marker = marker("stop");
    let script = "trap '' TERM INT HUP; \
                  f() { setsid sh -c 'trap \"\" TERM; while :; do sleep 1000 & sleep 0.01; done' & }; \
                  f; f; f; echo ready; while :; do sleep 1000; done";
    let cmd = sh(script, &marker);
    let stop = CancellationToken::new();
    let exec = exec();
    let killing = async {
        log.says("ready").await;
        stop.cancel();
        Instant::now()
    };
    let (exit, stopped_at) = tokio::join!(exec.run_until(&cmd, &log, &stop), killing);
    assert_eq!(exit.unwrap(), Exit::Stopped);
    assert!(stopped_at.elapsed() < Duration::from_secs(3));
    assert_eq!(marked(&marker), [0; 0]);
}

#[tokio::test]
async fn a_command_is_asked_to_end_first_where_it_gets_time_for_that() {
    let marker = marker("grace");
    let polite = "trap 'touch goodbye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    for script in [polite, stubborn] {
        let (log, stop, exec) = (MemoryLog::default(), CancellationToken::new(), exec());
        let place = tempfile::tempdir().unwrap();
        let mut cmd = sh(script, &marker);
        (cmd.cwd, cmd.grace) = (place.path().to_owned(), Duration::from_millis(500));
        let killing = async {
            log.says("ready").await;
            stop.cancel();
        };
        let (exit, ()) = tokio::join!(exec.run_until(&cmd, &log, &stop), killing);
        assert_eq!(exit.unwrap(), Exit::Stopped);
        assert_eq!(marked(&marker), [0; 0]);
        assert_eq!(place.path().join("goodbye").exists(), script == polite);
    }
}

#[tokio::test]
async fn a_dropped_run_is_dead_when_the_drop_returns() {
    let log = MemoryLog::default();
    let marker = marker("drop");
    let cmd = sh("setsid sleep 1000 & echo ready; sleep 1000", &marker);
    let exec = exec();
    tokio::select! {
        exit = exec.run(&cmd, &log) => panic!("it ended: {exit:?}"),
        () = log.says("ready") => {}
    }
    assert_eq!(marked(&marker), [0; 0]);
}

#[tokio::test]
async fn a_stopped_run_is_dead_inside_namespaces_too() {
    let log = MemoryLog::default();
    let marker = marker("namespaces");
    let script = "unshare --user --map-root-user --pid --fork --mount-proc \
                  sh -c 'setsid sleep 1000 & echo ready; sleep 1000'";
    let cmd = sh(script, &marker);
    let stop = CancellationToken::new();
    let exec = exec();
    let killing = async {
        log.says("ready").await;
        assert!(marked(&marker).len() >= 3);
        stop.cancel();
    };
    let (exit, ()) = tokio::join!(exec.run_until(&cmd, &log, &stop), killing);
    assert_eq!(exit.unwrap(), Exit::Stopped);
    assert_eq!(marked(&marker), [0; 0]);
}

#[tokio::test]
async fn the_loss_of_a_supervisor_is_seen() {
    let log = MemoryLog::default();
    let cmd = sh("echo $PPID $$ ready; exec sleep 1000", "-");
    let exec = exec();
    let killing = async {
        log.says("ready").await;
        let text = log.text();
        let pids = text.split(' ').filter_map(|p| p.parse().ok()).map(Pid::from_raw);
        let pids: Vec<_> = pids.collect();
        kill(pids[0], Signal::SIGKILL).unwrap();
        pids[1]
    };
    let (exit, orphan) = tokio::join!(exec.run(&cmd, &log), killing);
    assert_eq!(exit.unwrap_err().code(), "supervisor_died");
    kill(orphan, Signal::SIGKILL).unwrap();
}

#[test]
fn a_command_inherits_no_descriptor_and_no_mask() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let started = format!(
        "umask 077; exec 7<{0} 9<{0} 8>&1; exec {1} run sh -c 'ls /proc/self/fd; umask'",
        secret.path().display(),
        supervisor().program.display()
    );
    let output = Command::new("sh").args(["-c", &started]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // The fourth is the directory that `ls` reads.
    assert_eq!(said, "0\n1\n2\n3\n0022\n");
}

#[test]
fn nothing_outlives_a_pybit_process_that_is_killed() {
    let marker = marker("kill-9");
    let script = "setsid sh -c 'trap \"\" TERM HUP; echo ready; sleep 1000' & sleep 1000";
    let mut parent = Command::new(supervisor().program)
        .args(["run", "env", &format!("MARKER={marker}"), "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    parent.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    assert!(marked(&marker).len() >= 3);
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(none_left(&marker) < Duration::from_secs(1));
}

#[tokio::test]
#[ignore = "needs root and the user pybit-build"]
async fn a_command_runs_as_the_build_user_with_no_other_group() {
    let exec = support::exec();
    let user = exec.user().unwrap().clone();
    let log = MemoryLog::default();
    let cmd = Cmd::new(["sh", "-c", "id -u; id -G; echo $HOME"], Path::new("/"));
    assert_eq!(exec.run(&cmd, &log).await.unwrap(), Exit::Code(0));
    let expected = format!("{}\n{}\n{}\n", user.uid, user.gid, user.home.display());
    assert_eq!(log.text(), expected);
}
