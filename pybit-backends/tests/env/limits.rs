//! Bounds on what a build uses of the machine.

use std::fs;
use std::path::Path;

use pybit_backends::exec::{Cmd, Exec, Hold, Holds};
use pybit_core::format::Exit;
use pybit_core::resources::{Resource, Resources};

use crate::support::{self, MemoryLog, marked, open_dir, users_dir};

const MIB: u64 = 1 << 20;

/// Commands of the build user, held by this machine's control groups.
fn held() -> (Exec, Holds) {
    let holds = Holds::find();
    assert!(holds.is_whole(), "this machine has no control groups: {:?}", holds.why);
    (support::exec().held_by(holds.hold.clone()), holds)
}

fn sh(script: &str, room: &Path, resources: Resources) -> Cmd {
    let mut cmd = Cmd::new(["sh", "-c", script], room).var("MARKER", marker(room));
    cmd.limits.resources = resources;
    cmd
}

fn marker(room: &Path) -> String {
    room.display().to_string()
}

async fn run(exec: &Exec, cmd: &Cmd) -> (Exit, String) {
    let log = MemoryLog::default();
    let exit = exec.run(cmd, &log).await.unwrap();
    assert_eq!(marked(&marker(&cmd.room)), [0; 0], "{}", log.text());
    (exit, log.text())
}

/// The groups that are left of this process.
fn groups(holds: &Holds) -> Vec<String> {
    let dirs: Vec<_> = match &holds.hold {
        Hold::Unified { dir, .. } => vec![dir.clone()],
        Hold::Legacy(dirs) => dirs.iter().map(|(_, dir)| dir.clone()).collect(),
        Hold::Processes => vec![],
    };
    let own = format!("pybit-build-{}-", std::process::id());
    let names = dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap().flatten());
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&own)).collect()
}

#[tokio::test]
#[ignore = "needs root, control groups and the user pybit-build"]
async fn a_build_is_ended_at_its_bound_and_the_bound_is_named() {
    let (exec, holds) = held();
    let dir = open_dir();
    let room = dir.path().join("room");
    users_dir(&room, &exec);
    let memory = Resources { memory_bytes: Some(64 * MIB), ..Resources::default() };
    let processes = Resources { processes: Some(40), ..Resources::default() };
    let disk = Resources { disk_bytes: Some(16 * MIB), ..Resources::default() };
    let files = Resources { files: Some(100), ..Resources::default() };
    let children = "perl -e 'fork or do { my $x = \"a\" x (90 << 20); sleep 60 } for 1 .. 3; $a = 1 while wait > 0; exit 1'";
    let storm = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i + 1)); done; wait";
    let kinds = [
        (children, memory, Resource::Memory, 64 * MIB),
        (
            "head -c 90M /dev/zero > /dev/shm/$$; rm /dev/shm/$$; exit 1",
            memory,
            Resource::Memory,
            64 * MIB,
        ),
        (storm, processes, Resource::Processes, 40),
        ("head -c 64M /dev/zero > file; sleep 60", disk, Resource::Disk, 16 * MIB),
        ("mkdir a; cd a; seq 200 | xargs touch; sleep 60", files, Resource::Files, 100),
    ];
    for (script, resources, resource, limit) in kinds {
        let (exit, said) = run(&exec, &sh(script, &room, resources)).await;
        let Exit::Exceeded(excess) = exit else { panic!("{script}: {exit:?}, {said}") };
        assert_eq!((excess.resource, excess.limit), (resource, limit), "{script}: {said}");
        assert!(excess.used >= limit, "{excess}");
    }
    assert_eq!(groups(&holds), [""; 0]);
}

#[tokio::test]
#[ignore = "needs root, control groups and the user pybit-build"]
async fn a_storm_of_processes_leaves_others_undisturbed_and_the_next_command_runs() {
    let (exec, holds) = held();
    let (dir, other) = (open_dir(), open_dir());
    let bounds =
        Resources { processes: Some(60), memory_bytes: Some(256 * MIB), ..Resources::default() };
    let storm = sh("f() { f | f & f; }; f; sleep 60", dir.path(), bounds);
    let innocent = sh(
        "for i in 1 2 3 4 5; do seq 100 | xargs -n 10 -P 10 echo > /dev/null || exit 1; done; echo fine",
        other.path(),
        bounds,
    );
    let stop = tokio_util::sync::CancellationToken::new();
    let log = MemoryLog::default();
    let storming = exec.run_until(&storm, &log, &stop);
    let beside = async {
        let ended = run(&exec, &innocent).await;
        stop.cancel();
        ended
    };
    let (stormed, ended) = tokio::join!(storming, beside);
    assert!(matches!(stormed.unwrap(), Exit::Stopped | Exit::Exceeded(_)), "{}", log.text());
    assert_eq!(ended, (Exit::Code(0), "fine\n".to_owned()));
    let next = run(&exec, &sh("echo next", dir.path(), bounds)).await;
    assert_eq!(next, (Exit::Code(0), "next\n".to_owned()));
    assert_eq!(groups(&holds), [""; 0]);
}

#[tokio::test]
#[ignore = "needs root, control groups and the user pybit-build"]
async fn a_build_within_its_bounds_is_not_told_of_them() {
    let (exec, _) = held();
    let dir = open_dir();
    let bounds = Resources {
        memory_bytes: Some(64 * MIB),
        processes: Some(40),
        disk_bytes: Some(MIB),
        files: Some(100),
        cores: Some(1),
    };
    assert_eq!(run(&exec, &sh("exit 3", dir.path(), bounds)).await.0, Exit::Code(3));
    // One that ends well although the kernel has killed a part of it has done what it meant to.
    let probe = "perl -e 'my $x = \"a\" x (90 << 20)' || echo probed";
    let (exit, said) = run(&exec, &sh(probe, dir.path(), bounds)).await;
    assert_eq!(exit, Exit::Code(0));
    assert!(said.contains("probed"), "{said}");
}

#[tokio::test]
#[ignore = "needs root and the user pybit-build"]
async fn without_control_groups_each_process_is_bounded_by_itself() {
    let exec = support::exec();
    let dir = open_dir();
    users_dir(dir.path(), &exec);
    let bounds =
        Resources { memory_bytes: Some(64 * MIB), disk_bytes: Some(MIB), ..Resources::default() };
    let (exit, said) =
        run(&exec, &sh("perl -e 'my $x = \"a\" x (90 << 20)'", dir.path(), bounds)).await;
    assert!(exit != Exit::Code(0) && said.contains("Out of memory"), "{exit:?}: {said}");
    let (exit, said) = run(&exec, &sh("head -c 9M /dev/zero > file", dir.path(), bounds)).await;
    assert!(exit != Exit::Code(0), "{said}");
    assert!(fs::metadata(dir.path().join("file")).unwrap().len() <= MIB);
}
