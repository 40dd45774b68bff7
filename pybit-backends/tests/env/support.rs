//! What the tests of processes, environments and sources share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pybit_backends::env::{BuildUser, SbuildConfig, SbuildEnvironment};
use pybit_backends::exec::{Exec, Supervisor};
use pybit_core::Result;
use pybit_core::build::{LogSink, StepLimits};
use pybit_core::format::{Place, Step};
use pybit_core::model::Target;
use pybit_core::resources::Resources;
use tokio::sync::watch;

/// A log in memory that tests can wait on.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    text: Mutex<Vec<u8>>,
    grown: watch::Sender<()>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self { text: Mutex::default(), grown: watch::Sender::new(()) }
    }
}

impl MemoryLog {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Waits until the log holds `what`.
    pub(crate) async fn says(&self, what: &str) {
        let mut grown = self.grown.subscribe();
        let waiting = async {
            while !self.text().contains(what) {
                grown.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(3), waiting).await;
        assert!(waited.is_ok(), "the log never says {what:?}: {}", self.text());
    }
}

#[async_trait]
impl LogSink for MemoryLog {
    async fn write(&self, bytes: &[u8]) -> Result<()> {
        self.text.lock().unwrap().extend_from_slice(bytes);
        self.grown.send_replace(());
        Ok(())
    }
}

pub(crate) fn supervisor() -> Supervisor {
    Supervisor { program: PathBuf::from(env!("CARGO_BIN_EXE_pybit-supervise")), args: vec![] }
}

/// Processes run as the build user where these tests may do that, else as whoever runs them.
pub(crate) fn exec() -> Exec {
    let user = nix::unistd::geteuid().is_root().then(|| BuildUser::find("pybit-build").unwrap());
    Exec::new(supervisor(), user)
}

/// The directory of root tarballs that the tests share and keep between runs: making one takes a minute.
pub(crate) const ROOTS: &str = "/var/tmp/pybit-test-roots";

pub(crate) fn sbuild() -> SbuildEnvironment {
    SbuildEnvironment::new(SbuildConfig::new(ROOTS), exec())
}

/// The processes that carry `marker` in their environment or command line, but are not this one.
pub(crate) fn marked(marker: &str) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()));
    let has = |pid: i32, file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(marker.len()).any(|w| w == marker.as_bytes())
    };
    pids.filter(|pid| *pid != own && (has(*pid, "cmdline") || has(*pid, "environ"))).collect()
}

/// Waits until no process carries the marker; how long that took.
pub(crate) fn none_left(marker: &str) -> Duration {
    let start = Instant::now();
    while !marked(marker).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "left: {:?}", marked(marker));
        std::thread::yield_now();
    }
    start.elapsed()
}

/// A directory that the build user, and the users of its namespaces, can reach.
pub(crate) fn open_dir() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("pybit-test-").tempdir().unwrap();
    open(dir.path());
    dir
}

/// Makes a directory that belongs to the build user.
pub(crate) fn users_dir(path: &Path, exec: &Exec) {
    std::fs::create_dir_all(path).unwrap();
    open(path);
    if let Some(user) = exec.user() {
        nix::unistd::chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

fn open(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn target(arch: &str, env: &str) -> Target {
    Target {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        arch: arch.parse().unwrap(),
        format: "deb".parse().unwrap(),
        env: env.parse().unwrap(),
    }
}

pub(crate) fn limits() -> StepLimits {
    let wall = Duration::from_mins(10);
    StepLimits { wall, silent: wall, log_bytes: 16 << 20, resources: Resources::default() }
}

/// A step that runs a script in `cwd`, offline.
pub(crate) fn step(place: Place, argv: &[&str], cwd: &Path, marker: &str) -> Step {
    Step {
        phase: "build",
        argv: argv.iter().map(|&a| a.to_owned()).collect(),
        place,
        cwd: cwd.to_owned(),
        vars: BTreeMap::from([("MARKER".to_owned(), marker.to_owned())]),
        network: false,
    }
}
