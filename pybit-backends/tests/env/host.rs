//! The machine itself as the environment.

use std::path::Path;

use pybit_backends::env::HostEnvironment;
use pybit_backends::exec::Exec;
use pybit_core::ErrorKind;
use pybit_core::build::BuildEnvironment;
use pybit_core::format::{Exit, Place, Surroundings};

use crate::support::{MemoryLog, limits, marked, step, supervisor, target};

fn host(allowed: bool) -> HostEnvironment {
    HostEnvironment::new(Exec::new(supervisor(), None), allowed)
}

#[tokio::test]
async fn the_machine_itself_is_refused_unless_it_is_allowed() {
    let log = MemoryLog::default();
    let refused = host(false).prepare(&target("amd64", "host"), Path::new("/tmp"), &log).await;
    let error = refused.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "host_not_allowed"));
}

#[tokio::test]
async fn a_stopped_host_runs_nothing_more() {
    let log = MemoryLog::default();
    let prepared = host(true).prepare(&target("amd64", "host"), Path::new("/tmp"), &log).await;
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
