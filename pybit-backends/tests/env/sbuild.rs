//! Fresh roots, with the real mmdebstrap and sbuild.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use pybit_backends::env::{SbuildConfig, SbuildEnvironment};
use pybit_core::ErrorKind;
use pybit_core::build::{BuildEnvironment, Prepared};
use pybit_core::clock::{ManualClock, Timestamp};
use pybit_core::format::{Exit, Place, Surroundings};

use crate::support::{self, MemoryLog, limits, marked, open_dir, step, target, users_dir};

async fn prepared(work: &Path, log: &MemoryLog) -> Box<dyn Prepared> {
    support::sbuild().prepare(&target("source", "sbuild"), work, log).await.unwrap()
}

fn marker(test: &str) -> String {
    format!("pybit-test-{test}-{}", std::process::id())
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive and the user pybit-build"]
async fn a_step_inside_is_nobody_has_no_network_and_sees_nothing_of_the_machine() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let output = dir.path().join("output");
    users_dir(&output, &support::exec());
    let prepared = prepared(dir.path(), &log).await;
    let script = "id -u; id -un; tail -n +3 /proc/net/dev | cut -d: -f1; ls /etc/hostname /home; cat /etc/shadow; \
                  pwd; ls ../scratch; touch result; touch /etc/x; ls $0; ls /proc | grep -c '^[0-9]'; \
                  unshare --user true; test -e /proc/1/root/boot/grub";
    let program = support::supervisor().program.display().to_string();
    let inside = step(Place::Inside, &["sh", "-c", script, &program], &output, "-");
    let start = log.text().len();
    let exit = prepared.run(&inside, &limits(), &log).await.unwrap();
    let said = log.text()[start..].to_owned();
    assert_eq!(exit, Exit::Code(1), "{said}");
    assert!(said.starts_with("1000\npybit\n    lo\n"), "{said}");
    for refused in ["/etc/shadow", "'/etc/x'"] {
        let line = said.lines().find(|l| l.contains(refused));
        assert!(line.is_some_and(|l| l.ends_with("Permission denied")), "{refused}: {said}");
    }
    assert!(said.contains(&format!("cannot access '{program}'")), "{said}");
    assert!(said.contains("unshare failed"), "{said}");
    let owner = support::exec().user().map_or_else(nix::unistd::geteuid, |u| u.uid);
    assert_eq!(fs::metadata(output.join("result")).unwrap().uid(), owner.as_raw());
    prepared.destroy().await.unwrap();
    assert!(!dir.path().join("scratch").exists());
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive and the user pybit-build"]
async fn a_step_with_network_has_the_machines_network() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let prepared = prepared(dir.path(), &log).await;
    let mut inside =
        step(Place::Inside, &["cat", "/proc/net/dev", "/etc/resolv.conf"], dir.path(), "-");
    inside.network = true;
    assert_eq!(prepared.run(&inside, &limits(), &log).await.unwrap(), Exit::Code(0));
    let own = fs::read_to_string("/proc/net/dev").unwrap();
    for device in own.lines().skip(2).filter_map(|l| l.split(':').next()) {
        assert!(log.text().contains(device), "{device}: {}", log.text());
    }
    prepared.destroy().await.unwrap();
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive and the user pybit-build"]
async fn a_cancelled_step_inside_leaves_no_process_and_no_directory() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let marker = marker("inside");
    let prepared = prepared(dir.path(), &log).await;
    let script = "trap '' TERM; setsid sleep 1000 & echo ready; sleep 1000";
    let endless = step(Place::Inside, &["sh", "-c", script], dir.path(), &marker);
    let limits = limits();
    let stopping = async {
        log.says("ready").await;
        assert!(!marked(&marker).is_empty());
        prepared.stop().await.unwrap();
        assert_eq!(marked(&marker), [0; 0]);
    };
    let (exit, ()) = tokio::join!(prepared.run(&endless, &limits, &log), stopping);
    assert_eq!(exit.unwrap(), Exit::Stopped);
    prepared.destroy().await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A native source package whose build says so and then never ends.
fn endless_package(dir: &Path) {
    let debian = dir.join("tree/debian");
    fs::create_dir_all(debian.join("source")).unwrap();
    let files = [
        ("source/format", "3.0 (native)\n"),
        (
            "changelog",
            "endless (1) bookworm; urgency=low\n\n  * x\n\n -- T <t@example.org>  Mon, 23 Nov 2026 00:00:00 +0000\n",
        ),
        (
            "control",
            "Source: endless\nMaintainer: T <t@example.org>\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n\n\
             Package: endless\nArchitecture: any\nDescription: x\n x\n",
        ),
        (
            "rules",
            "#!/usr/bin/make -f\nclean:\nbinary binary-arch:\n\tsetsid sleep 1000 &\n\techo in the bu''ild\n\tsleep 1000\n",
        ),
    ];
    for (name, text) in files {
        fs::write(debian.join(name), text).unwrap();
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(debian.join("rules"), mode).unwrap();
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive and the user pybit-build"]
async fn a_cancelled_sbuild_leaves_no_process_and_no_root() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let output = dir.path().join("output");
    users_dir(&output, &support::exec());
    endless_package(dir.path());
    let prepared = prepared(dir.path(), &log).await;
    let source = ["dpkg-source", "-b", "../tree"];
    let source = step(Place::Inside, &source, &output, "-");
    assert_eq!(prepared.run(&source, &limits(), &log).await.unwrap(), Exit::Code(0));
    let Surroundings::Sbuild { tarball, scratch } = prepared.surroundings() else { panic!() };
    let marker = marker("sbuild");
    let chroot = format!("--chroot={}", tarball.display());
    let argv = [
        "sbuild",
        "--chroot-mode=unshare",
        &chroot,
        "--dist=bookworm",
        "--no-run-lintian",
        "--nolog",
        "endless_1.dsc",
    ];
    let build = step(Place::Machine, &argv, &output, &marker);
    let limits = limits();
    let stopping = async {
        log.says("\nin the build").await;
        let roots = fs::read_dir(&scratch).unwrap().flatten();
        let roots: Vec<_> =
            roots.filter(|e| e.file_name().to_string_lossy().starts_with("root.")).collect();
        assert_eq!(roots.len(), 1, "sbuild has unpacked its root elsewhere");
        prepared.stop().await.unwrap();
    };
    let (exit, ()) = tokio::join!(prepared.run(&build, &limits, &log), stopping);
    assert_eq!(exit.unwrap(), Exit::Stopped);
    assert_eq!(marked(&marker), [0; 0]);
    assert_eq!(marked(&scratch.display().to_string()), [0; 0]);
    prepared.destroy().await.unwrap();
    assert!(!scratch.exists());
}

/// An environment whose mirror does not exist, at a time when every root is old.
fn broken(cache: &Path) -> SbuildEnvironment {
    let mut config = SbuildConfig::new(cache);
    config.mirror = Some(vec!["deb [trusted=yes] file:///nonexistent bookworm main".to_owned()]);
    let clock = ManualClock::at(Timestamp::from_micros(2_500_000_000_000_000));
    SbuildEnvironment::with_clock(config, support::exec(), Arc::new(clock))
}

#[tokio::test]
#[ignore = "needs mmdebstrap and the user pybit-build"]
async fn an_old_root_is_used_where_it_cannot_be_renewed_and_nothing_else_is() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let (work, cache) = (dir.path().join("work"), dir.path().join("cache"));
    users_dir(&work, &support::exec());
    let broken = broken(&cache);
    let error = broken.prepare(&target("amd64", "sbuild"), &work, &log).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "root_failed"), "{error}");
    let tarball = cache.join("Debian-bookworm-amd64.tar");
    File::create(&tarball).unwrap();
    let prepared = broken.prepare(&target("amd64", "sbuild"), &work, &log).await.unwrap();
    assert!(log.text().contains("an older one is used"), "{}", log.text());
    prepared.destroy().await.unwrap();
    let left = fs::read_dir(&cache).unwrap().flatten().map(|e| e.file_name());
    let mut left: Vec<_> = left.filter_map(|n| n.into_string().ok()).collect();
    left.sort_unstable();
    assert_eq!(left, ["Debian-bookworm-amd64.lock", "Debian-bookworm-amd64.tar", "trash"]);
}

#[tokio::test]
#[ignore = "needs the user pybit-build"]
async fn a_root_is_made_by_one_job_at_a_time() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let lock = File::create(cache.join("Debian-bookworm-amd64.lock")).unwrap();
    lock.lock().unwrap();
    let broken = broken(&cache);
    let waiting = async {
        log.says("waiting for another job").await;
        drop(lock);
    };
    let target = target("amd64", "sbuild");
    let (prepared, ()) = tokio::join!(broken.prepare(&target, dir.path(), &log), waiting);
    assert_eq!(prepared.unwrap_err().code(), "root_failed");
}
