//! A machine with the stand-in of mock on it, and jobs on that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::unistd::Group;
use pybit_backends::env::{BuildUser, MockConfig, MockEnvironment};
use pybit_backends::exec::Exec;
use pybit_backends::rpm::RpmFormat;
use pybit_core::Result;
use pybit_core::build::{BuildEnvironment, Prepared, StepLimits};
use pybit_core::format::{
    BuildContext, BuildRepository, Collected, Exit, PackageFormat, Step, Surroundings, Verdict,
};
use pybit_core::model::Target;

use crate::support::{self, MemoryLog, limits, open_dir, supervisor, users_dir};

const STAND_IN: &str = include_str!("stand-in.py");
/// The configuration of mock that is named.
pub(super) const CONFIG: &str = "fedora-40-test";
/// A group that every Debian has and no user is in.
const GROUP: &str = "nogroup";

/// How the steps of a job ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With results in this directory.
    Well(PathBuf),
    /// With a verdict.
    Badly { exit: Exit, verdict: Verdict },
}

pub(super) struct Stage {
    dir: tempfile::TempDir,
    exec: Exec,
    jobs: AtomicU32,
    pub(super) user: BuildUser,
    pub(super) gid: u32,
    pub(super) format: RpmFormat,
    pub(super) wall: Duration,
}

impl Stage {
    /// A machine whose mock has this configuration, as JSON.
    pub(super) fn new(config: &str) -> Self {
        let user = BuildUser::find("pybit-build").unwrap();
        let exec = Exec::new(supervisor(), Some(user.clone()));
        let (dir, gid) = (open_dir(), Group::from_name(GROUP).unwrap().unwrap().gid.as_raw());
        let (jobs, format, wall) = (AtomicU32::new(0), RpmFormat::new(), Duration::from_mins(2));
        let stage = Self { dir, exec, jobs, user, gid, format, wall };
        fs::write(stage.path().join("mock"), STAND_IN).unwrap();
        fs::set_permissions(stage.path().join("mock"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(stage.path().join("etc")).unwrap();
        users_dir(&stage.path().join("state"), &stage.exec);
        stage.configure(config);
        stage
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn configure(&self, config: &str) {
        let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
        config["gid"] = self.gid.into();
        fs::write(self.path().join(format!("etc/{CONFIG}.json")), config.to_string()).unwrap();
    }

    pub(super) fn config(&self) -> MockConfig {
        let target = Self::target();
        let roots = [((target.dist, target.suite, target.arch), CONFIG.parse().unwrap())].into();
        let (program, group) = (self.path().join("mock"), GROUP.to_owned());
        MockConfig { program, group, ..MockConfig::new(self.path().join("client"), roots) }
    }

    pub(super) fn open(&self, config: MockConfig) -> Result<MockEnvironment> {
        MockEnvironment::new(config, self.exec.clone())
    }

    pub(super) fn environment(&self) -> MockEnvironment {
        self.open(self.config()).unwrap()
    }

    pub(super) fn target() -> Target {
        Self::target_of(std::env::consts::ARCH, "rpm")
    }

    pub(super) fn target_of(arch: &str, format: &str) -> Target {
        let target = support::target(arch, "mock");
        let (dist, suite) = ("Fedora".parse().unwrap(), "f40".parse().unwrap());
        Target { dist, suite, format: format.parse().unwrap(), ..target }
    }

    /// A directory for another job.
    pub(super) fn work(&self) -> PathBuf {
        let n = self.jobs.fetch_add(1, Ordering::Relaxed);
        let work = self.path().join(format!("jobs/{n}-1/work"));
        fs::create_dir_all(&work).unwrap();
        users_dir(&work.join("output"), &self.exec);
        work
    }

    /// A tree with one spec file.
    pub(super) fn tree(&self, name: &str, spec: &str) -> PathBuf {
        let tree = self.path().join(format!("trees/{name}"));
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join(format!("{name}.spec")), spec).unwrap();
        tree
    }

    /// The source package of a tree.
    pub(super) async fn source(&self, tree: &Path) -> Collected {
        let log = MemoryLog::default();
        let (ended, output) = self.source_steps(tree, &log).await;
        assert!(matches!(ended, Ended::Well(_)), "{ended:?}\n{}", log.text());
        self.format.collect(&output, true).await.unwrap()
    }

    pub(super) async fn source_steps(&self, tree: &Path, log: &MemoryLog) -> (Ended, PathBuf) {
        let work = self.work();
        let prepared = self.environment().prepare(&Self::target(), &work, log).await.unwrap();
        let ended = self.run_source(&*prepared, &work, tree, log).await;
        prepared.destroy().await.unwrap();
        (ended, work.join("output"))
    }

    pub(super) async fn run_source(
        &self,
        prepared: &dyn Prepared,
        work: &Path,
        tree: &Path,
        log: &MemoryLog,
    ) -> Ended {
        let context = Self::context(prepared, work, tree.to_owned(), &[]);
        let steps = self.format.source_steps(&context).unwrap();
        self.run(prepared, &steps, &context.output, log).await
    }

    pub(super) async fn binary(
        &self,
        source: &Collected,
        repositories: &[BuildRepository],
        log: &MemoryLog,
    ) -> Ended {
        let work = self.work();
        let prepared = self.environment().prepare(&Self::target(), &work, log).await.unwrap();
        let ended = self.run_binary(&*prepared, &work, source, repositories, log).await;
        prepared.destroy().await.unwrap();
        ended
    }

    pub(super) async fn run_binary(
        &self,
        prepared: &dyn Prepared,
        work: &Path,
        source: &Collected,
        repositories: &[BuildRepository],
        log: &MemoryLog,
    ) -> Ended {
        let description = source.files[0].1.clone();
        let context = Self::context(prepared, work, description, repositories);
        let steps = self.format.binary_steps(&context).unwrap();
        self.run(prepared, &steps, &context.output, log).await
    }

    fn context(
        prepared: &dyn Prepared,
        work: &Path,
        source: PathBuf,
        repositories: &[BuildRepository],
    ) -> BuildContext {
        let target = Self::target();
        BuildContext {
            suite: target.suite,
            arch: target.arch,
            env: target.env,
            place: prepared.surroundings(),
            source,
            output: work.join("output"),
            indep: true,
            repositories: repositories.to_vec(),
        }
    }

    async fn run(
        &self,
        prepared: &dyn Prepared,
        steps: &[Step],
        output: &Path,
        log: &MemoryLog,
    ) -> Ended {
        let limits = StepLimits { wall: self.wall, silent: self.wall, ..limits() };
        for step in steps {
            let exit = prepared.run(step, &limits, log).await.unwrap();
            if exit != Exit::Code(0) {
                let verdict = self.format.classify(step.phase, exit, &log.text());
                return Ended::Badly { exit, verdict };
            }
        }
        Ended::Well(output.to_owned())
    }

    /// Holds the lock of a job's root, as another mock would.
    pub(super) fn lock(&self, prepared: &dyn Prepared) -> fs::File {
        let Surroundings::Mock { config, unique, .. } = prepared.surroundings() else { panic!() };
        let root = self.path().join(format!("state/roots/{config}-{unique}"));
        users_dir(&self.path().join("state/roots"), &self.exec);
        users_dir(&root, &self.exec);
        let file = fs::File::create(root.join("buildroot.lock")).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o666)).unwrap();
        file.lock().unwrap();
        file
    }

    /// What the stand-in was asked, in order.
    pub(super) fn calls(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path().join("state/calls")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The modes of the calls, in order.
    pub(super) fn modes(&self) -> Vec<String> {
        self.calls().iter().filter_map(|c| c["mode"].as_str().map(str::to_owned)).collect()
    }

    /// The roots that are there.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("state/roots")).into_iter().flatten().flatten();
        entries.map(|e| e.path()).collect()
    }

    /// No root, and no note of one.
    pub(super) fn nothing_is_left(&self) {
        assert!(self.roots().is_empty(), "{:?}", self.roots());
        let notes = fs::read_dir(self.path().join("client/roots")).into_iter().flatten().flatten();
        assert_eq!(notes.count(), 0);
    }

    /// Changes every package that is kept for later builds.
    pub(super) fn spoil_store(&self) {
        for repository in fs::read_dir(self.path().join("client/store")).unwrap().flatten() {
            for package in fs::read_dir(repository.path()).unwrap().flatten() {
                fs::write(package.path(), "another").unwrap();
            }
        }
    }
}
