//! RPM packages: versions, source packages, builds with `rpmbuild` or `mock`, what they leave and why they fail.
//!
//! | to know | open |
//! |---|---|
//! | how versions order | `versions.rs` |
//! | which architectures a spec file means | `arch.rs` |
//! | what the description of a source package may say | `source.rs`, `describe-source.pl` |
//! | which commands a build runs | `steps.rs` and the `.pl` files beside it |
//! | what is taken from a build | `collect.rs`, `describe.pl` |
//! | what a failure means | `classify.rs` |
//! | what satisfies a missing dependency | `relation.rs`, `dependencies.pl` |
//! | what is installed from the farm's own repository | `install.pl` |
//! | what is different where `mock` makes the roots | `mock/` |
//!
//! A spec file runs macros when it is read, so nothing but the build environment ever reads one: the server reads the small text
//! (`NAME-VERSION-RELEASE.srpm-info`) that the source build writes beside the `.src.rpm`. Architectures are named as rpm names
//! them: `x86_64`, `aarch64`.

mod arch;
mod classify;
mod collect;
mod mock;
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

pub use versions::RpmVersions;

/// What the steps of a build need in a Debian root besides the build-essential packages.
pub const ROOT_PACKAGES: [&str; 5] = ["ca-certificates", "curl", "dnf", "pkg-config", "rpm"];

/// The format `rpm`.
#[derive(Debug, Clone)]
pub struct RpmFormat {
    name: FormatName,
}

impl RpmFormat {
    /// The format; it has no settings.
    ///
    /// # Panics
    ///
    /// Never: `rpm` is a valid format name.
    #[must_use]
    pub fn new() -> Self {
        Self { name: "rpm".parse().expect("rpm is a valid format name") }
    }
}

impl Default for RpmFormat {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl PackageFormat for RpmFormat {
    fn name(&self) -> &FormatName {
        &self.name
    }

    fn versions(&self) -> &dyn VersionOrder {
        &RpmVersions
    }

    fn is_source_description(&self, name: &FileName) -> bool {
        name.as_str().ends_with(source::SUFFIX)
    }

    fn read_source(&self, bytes: &[u8]) -> Result<SourceInfo> {
        source::read(bytes)
    }

    /// The `.src.rpm`: the description beside it is pybit's.
    fn published_digest<'a>(&self, source: &'a SourceInfo, _: &'a str) -> &'a str {
        source.files.first().map_or("", |file| &file.sha256)
    }

    fn expand(&self, declared: &[String], served: &[Arch]) -> Result<Expansion> {
        arch::expand(declared, served)
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
