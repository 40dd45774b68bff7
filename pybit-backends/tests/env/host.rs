//! The machine itself as the environment.

use std::path::Path;

use pybit_backends::env::HostEnvironment;
use pybit_backends::exec::Exec;
use pybit_core::ErrorKind;
use pybit_core::build::BuildEnvironment;
use pybit_core::format::{Exit, Place, Surroundings};

use crate::support::{MemoryLog, limits, marked, open_dir, step, supervisor, target};

fn host(allowed: bool) -> HostEnvironment {
    HostEnvironment::new(Exec::new(supervisor(), None), allowed)
}

#[tokio::test]
async fn the_machine_itself_is_refused_unless_it_is_allowed() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let refused = host(false).prepare(&target("amd64", "host"), dir.path(), &log).await;
    let error = refused.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "host_not_allowed"));
}

#[tokio::test]
async fn a_stopped_host_runs_nothing_more() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let prepared = host(true).prepare(&target("amd64", "host"), dir.path(), &log).await;
    let prepared = prepared.unwrap();
    assert_eq!(prepared.surroundings(), Surroundings::Host);
    let marker = format!("pybit-test-host-{}", std::process::id());
    let script = "setsid sleep 1000 & echo ready; sleep 1000";
    let endless = step(Place::Inside, &["sh", "-c", script], Path::new("/tmp"), &marker);
    let limits = limits();
    let stopping = async {
        log.says("ready").await;
        prepared.stop().await.unwrap();
    };
    let (exit, ()) = tokio::join!(prepared.run(&endless, &limits, &log), stopping);
    assert_eq!(exit.unwrap(), Exit::Stopped);
    assert_eq!(marked(&marker), [0; 0]);
    let later = step(Place::Machine, &["touch", "/tmp/never"], Path::new("/tmp"), &marker);
    assert_eq!(prepared.run(&later, &limits, &log).await.unwrap(), Exit::Stopped);
    prepared.destroy().await.unwrap();
}

#[tokio::test]
async fn an_attempt_has_a_home_of_its_own_and_leaves_nothing_in_it_for_the_next() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let greedy = "ls -A \"$HOME\" \"$TMPDIR\"; touch \"$HOME/.gitconfig\" \"$TMPDIR/left\"; echo $HOME $TMPDIR";
    let greedy = step(Place::Inside, &["sh", "-c", greedy], dir.path(), "-");
    let mut said = Vec::new();
    for _ in 0..2 {
        let prepared = host(true).prepare(&target("amd64", "host"), dir.path(), &log).await;
        let prepared = prepared.unwrap();
        let start = log.text().len();
        assert_eq!(prepared.run(&greedy, &limits(), &log).await.unwrap(), Exit::Code(0));
        said.push(log.text()[start..].to_owned());
        prepared.destroy().await.unwrap();
    }
    let [home, tmp] = ["home", "tmp"].map(|name| dir.path().join(name).display().to_string());
    assert_eq!(said[0], format!("{home}:\n\n{tmp}:\n{home} {tmp}\n"));
    assert_eq!(said[0], said[1]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
