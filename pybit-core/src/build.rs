//! What runs on a build client's machine: fetching sources, environments, logs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::format::{Exit, Step, Surroundings};
use crate::model::{Source, Target};
use crate::resources::Resources;

/// Takes the bytes of a build's log as they come.
#[async_trait]
pub trait LogSink: Send + Sync + fmt::Debug {
    /// Appends to the log; the bytes are not text and may end inside a character.
    async fn write(&self, bytes: &[u8]) -> Result<()>;
}

/// What a fetched source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// A tree to build a source package from, or a complete source package.
    pub kind: FetchedKind,
    /// What the source was resolved to: a commit id, an exact version.
    pub resolved: String,
}

/// The two things that a source can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchedKind {
    /// The root of a source tree.
    Tree(PathBuf),
    /// The source description; every file that it lists lies beside it.
    Package(PathBuf),
}

/// Gets source onto the machine.
#[async_trait]
pub trait SourceFetcher: Send + Sync + fmt::Debug {
    /// The [`Source::method`] it serves.
    fn method(&self) -> &'static str;

    /// Fetches into an existing empty directory. The uploaded files of an upload are already in `inbox`.
    ///
    /// - A source that cannot be had as named (no such reference, no such package) fails, `Invalid` or `NotFound`: the
    ///   job fails with class `source`. A mirror or network that does not answer fails, `Unavailable`: it is tried again.
    /// - Cancelling is dropping the future: the whole process tree is then killed.
    async fn fetch(&self, request: &FetchRequest<'_>, log: &dyn LogSink) -> Result<Fetched>;
}

/// What to fetch, and where to.
#[derive(Debug, Clone, Copy)]
pub struct FetchRequest<'a> {
    /// What.
    pub source: &'a Source,
    /// For which suite and format.
    pub target: &'a Target,
    /// Where uploaded files lie.
    pub inbox: &'a Path,
    /// An existing empty directory, writable for the build user.
    pub into: &'a Path,
}

/// A kind of build environment.
#[async_trait]
pub trait BuildEnvironment: Send + Sync + fmt::Debug {
    /// Its name in the catalogue: `sbuild`, `mock`, `host`.
    fn name(&self) -> &str;

    /// Removes what an earlier process of this client could not, in its own time; asked once, beside the first jobs. What is left
    /// all the same is for the next start.
    async fn recover(&self) {}

    /// Makes an environment for one job; `work` is the job's own directory.
    ///
    /// - What makes it fail is infrastructure: `Unavailable` or `Full`, never the package's fault.
    async fn prepare(
        &self,
        target: &Target,
        work: &Path,
        log: &dyn LogSink,
    ) -> Result<Box<dyn Prepared>>;
}

/// Bounds of one step.
#[derive(Debug, Clone, Copy)]
pub struct StepLimits {
    /// It may take this long.
    pub wall: Duration,
    /// It may say nothing this long.
    pub silent: Duration,
    /// It may write this many bytes of log.
    pub log_bytes: u64,
    /// Resources for its processes.
    pub resources: Resources,
}

/// An environment made for one job.
#[async_trait]
pub trait Prepared: Send + Sync + fmt::Debug {
    /// What it is, for the format to choose its tool.
    fn surroundings(&self) -> Surroundings;

    /// Runs one step as the build user, its output into the log, and returns when its whole process tree has ended.
    async fn run(&self, step: &Step, limits: &StepLimits, log: &dyn LogSink) -> Result<Exit>;

    /// Kills the process tree of whatever runs now, and of what is started later; returns when none is left.
    /// `run` then returns [`Exit::Stopped`].
    async fn stop(&self) -> Result<()>;

    /// Removes everything that the environment made; no process, mount or file of it is left.
    async fn destroy(&self) -> Result<()>;
}
