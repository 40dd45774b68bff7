//! Python distributions: versions, source distributions, wheels built with `build`, what they leave and why they fail.
//!
//! | to know | open |
//! |---|---|
//! | how versions order | `versions.rs` |
//! | how projects and files are named | `name.rs` |
//! | what the description of a source distribution may say | `source.rs`, `describe-source.py` |
//! | which commands a build runs | `steps.rs` and the `.py` files beside it |
//! | what is taken from a build | `collect.rs`, `describe.py` |
//! | what a failure means | `classify.rs` |
//! | what satisfies a missing requirement | `relation.rs`, `dependencies.py` |
//! | what is taken from the farm's own index | `install.py` |
//!
//! A source distribution is a program: its build backend runs when anything is asked of it, so nothing but the build environment ever opens
//! one. The server reads the small text (`NAME-VERSION.sdist-info`) that the source build writes beside the `.tar.gz`. Architectures
//! are named as the platform tags of wheels name them: `x86_64`, `aarch64`; `all` is a wheel for every machine.

mod classify;
mod collect;
mod name;
mod relation;
mod source;
mod steps;
mod versions;

use std::path::Path;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::format::{
    BuildContext, Collected, Exit, Expansion, PackageFormat, SourceInfo, Step, Verdict,
};
use pybit_core::model::{Arch, FileName, FormatName, Produced};
use pybit_core::version::VersionOrder;

pub use name::is_sdist;
pub(crate) use name::{WheelName, is_sdist_of, normal, sdist_version};
pub use versions::PythonVersions;

/// What the steps of a build need in a Debian root besides the build-essential packages: the tools, and the usual build backends.
pub const ROOT_PACKAGES: [&str; 11] = [
    "ca-certificates",
    "flit",
    "gpgv",
    "python3-build",
    "python3-dev",
    "python3-hatchling",
    "python3-installer",
    "python3-pip",
    "python3-poetry-core",
    "python3-setuptools",
    "python3-wheel",
];

/// The format `python`.
#[derive(Debug, Clone)]
pub struct PythonFormat {
    name: FormatName,
}

impl PythonFormat {
    /// The format; it has no settings.
    ///
    /// # Panics
    ///
    /// Never: `python` is a valid format name.
    #[must_use]
    pub fn new() -> Self {
        Self { name: "python".parse().expect("python is a valid format name") }
    }
}

impl Default for PythonFormat {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl PackageFormat for PythonFormat {
    fn name(&self) -> &FormatName {
        &self.name
    }

    fn versions(&self) -> &dyn VersionOrder {
        &PythonVersions
    }

    fn is_source_description(&self, name: &FileName) -> bool {
        name.as_str().ends_with(source::SUFFIX)
    }

    fn read_source(&self, bytes: &[u8]) -> Result<SourceInfo> {
        source::read(bytes)
    }

    /// The sdist: the description beside it is pybit's.
    fn published_digest<'a>(&self, source: &'a SourceInfo, _: &'a str) -> &'a str {
        source.files.first().map_or("", |file| &file.sha256)
    }

    fn expand(&self, declared: &[String], served: &[Arch]) -> Result<Expansion> {
        source::expand(declared, served)
    }

    fn source_steps(&self, context: &BuildContext) -> Result<Vec<Step>> {
        steps::source(context)
    }

    fn binary_steps(&self, context: &BuildContext) -> Result<Vec<Step>> {
        steps::binary(context)
    }

    async fn collect(&self, output: &Path, source_build: bool) -> Result<Collected> {
        collect::collect(output, source_build).await
    }

    fn classify(&self, phase: &str, exit: Exit, log_tail: &str) -> Verdict {
        classify::classify(phase, exit, log_tail)
    }

    fn satisfies(&self, relation: &str, package: &Produced) -> bool {
        relation::satisfies(relation, package)
    }
}
