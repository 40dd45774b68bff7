//! Package formats: what a source says, how it is built, what came out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{
    Arch, EnvName, Failure, FileName, FileSpec, FormatName, PackageName, Produced, Suite, Version,
};
use crate::resources::Excess;
use crate::version::VersionOrder;

/// What a source description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// The source package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The architectures it declares, in the format's own words: `any`, `all`, `linux-any`, `amd64`.
    pub arches: Vec<String>,
    /// The names of the binary packages that it says it builds, in order, each once; empty where it says none. What it builds may differ:
    /// the names are a reason to refuse it early, and no reason to publish it.
    pub binaries: Vec<PackageName>,
    /// The files that belong to it besides the description, with size and digest.
    pub files: Vec<FileSpec>,
}

/// The most binary packages that a source may say it builds.
pub const MAX_BINARIES: usize = 10_000;

impl SourceInfo {
    /// Its own name, then those of the binary packages that it says it builds.
    pub fn names(&self) -> Vec<&PackageName> {
        std::iter::once(&self.package).chain(&self.binaries).collect()
    }
}

/// Which architectures a package is built on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// Served architectures on which it has architecture-dependent packages.
    pub arches: Vec<Arch>,
    /// Whether it has architecture-independent packages.
    pub indep: bool,
}

/// A command of a build: an argument vector, never a shell line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, for the log's phase line: `unpack`, `build`.
    pub phase: &'static str,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub place: Place,
    /// The directory it starts in: inside the environment or on the machine, as `place` says.
    pub cwd: PathBuf,
    /// Variables besides the fixed minimal set.
    pub vars: BTreeMap<String, String>,
    /// Whether it may reach the network. Held by environments with a network of their own, such as `sbuild`; in `host`, and for a
    /// step on the machine, it is a wish.
    pub network: bool,
}

/// Where a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Inside the build environment, as the build user.
    Inside,
    /// Inside, as the environment's own root: installs what a build needs, and runs nothing that the package's authors wrote. On `host`
    /// it is the build user, too.
    Root,
    /// On the machine, as the build user: for tools such as `sbuild` and `mock` that make the environment themselves.
    Machine,
}

/// What a build works on.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The suite to build for.
    pub suite: Suite,
    /// The architecture to build for; for a source job the machine's own.
    pub arch: Arch,
    /// The environment's name.
    pub env: EnvName,
    /// What the environment is.
    pub place: Surroundings,
    /// The source description, for a binary build; the tree, for a source build. An absolute path on the machine that
    /// is the same inside the environment.
    pub source: PathBuf,
    /// An existing empty directory, writable for the build user, the same inside: results are looked for here.
    pub output: PathBuf,
    /// Whether architecture-independent packages are built too.
    pub indep: bool,
    /// Repositories to install from besides the environment's own: the key file lies on the machine.
    pub repositories: Vec<BuildRepository>,
}

/// A repository for a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRepository {
    /// Its address.
    pub url: String,
    /// The suite in it.
    pub suite: Suite,
    /// A file with its armoured public key.
    pub key: PathBuf,
    /// Whether its newer packages take the place of the environment's own. `false`: a build gets of it only what closes a relation
    /// that the environment's own archives cannot.
    pub overlay: bool,
}

/// What a prepared environment is, for the format to choose its tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surroundings {
    /// The machine itself.
    Host,
    /// A root tarball for `sbuild --chroot-mode=unshare`.
    Sbuild {
        /// The tarball.
        tarball: PathBuf,
        /// An existing directory for the unpacked root; the environment removes it.
        scratch: PathBuf,
    },
    /// A root that `mock` makes, and removes again, by commands on the machine whose program is `mock`.
    Mock {
        /// The name of mock's configuration, from the build client's own: a plain word, never a path.
        config: String,
        /// What sets this job's root apart from others of that configuration: a plain word.
        unique: String,
        /// A directory that outlives the job, writable for the build user: packages of the farm's repositories that were verified.
        store: PathBuf,
    },
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal that pybit did not send.
    Signal(i32),
    /// Past its time.
    TimedOut,
    /// Silent for too long.
    Silent,
    /// Past its log limit.
    LogLimit,
    /// Past what it may use of the machine: killed, or failed where it could not have more.
    Exceeded(Excess),
    /// Stopped on request: nothing of its process tree is left.
    Stopped,
}

/// What a failed build means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Class and sentence.
    pub failure: Failure,
    /// For a dep-wait, the missing relations.
    pub unmet: Vec<String>,
}

/// What a build left in its output directory, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Every file of the result with its path on the machine; regular files only.
    pub files: Vec<(FileSpec, PathBuf)>,
    /// The description of the result: the `.dsc` of a source build, the `.changes` of a binary build.
    pub main: FileName,
    /// The binary packages among the files.
    pub produced: Vec<Produced>,
}

/// One package format. All but [`collect`](Self::collect) is pure.
#[async_trait]
pub trait PackageFormat: Send + Sync + fmt::Debug {
    /// Its name: `deb`.
    fn name(&self) -> &FormatName;

    /// How its versions order.
    fn versions(&self) -> &dyn VersionOrder;

    /// Whether a file of this name is a source description that [`read_source`](Self::read_source) reads.
    fn is_source_description(&self, name: &FileName) -> bool;

    /// Reads a source description from foreign bytes.
    ///
    /// - `hostile_descriptions_are_refused`: what is malformed, names a path, lacks a SHA-256 or repeats a file fails,
    ///   `Invalid`, with a sentence; nothing panics and memory stays bounded by the input.
    fn read_source(&self, bytes: &[u8]) -> Result<SourceInfo>;

    /// The SHA-256 by which a source package is known as one of the base distribution's own: that of the file which distributions publish.
    /// `description` is the SHA-256 of the source description, and the answer of formats whose distributions publish that.
    fn published_digest<'a>(&self, _source: &'a SourceInfo, description: &'a str) -> &'a str {
        description
    }

    /// Which of the served architectures a declaration means.
    ///
    /// - `an_unserved_architecture_is_left_out`: the answer is a subset of `served`, without repeats.
    fn expand(&self, declared: &[String], served: &[Arch]) -> Result<Expansion>;

    /// The commands that turn a source tree into a source package in `output`.
    fn source_steps(&self, context: &BuildContext) -> Result<Vec<Step>>;

    /// The commands that build binary packages from a source package into `output`.
    fn binary_steps(&self, context: &BuildContext) -> Result<Vec<Step>>;

    /// Gathers and checks what a build left behind: the listed files and no others, regular files only, digests right.
    async fn collect(&self, output: &Path, source_build: bool) -> Result<Collected>;

    /// What a failed step means, from how it ended and the last part of its log (up to 256 KiB).
    fn classify(&self, phase: &str, exit: Exit, log_tail: &str) -> Verdict;

    /// Whether a binary package satisfies a relation, or one of its alternatives.
    fn satisfies(&self, relation: &str, package: &Produced) -> bool;
}
