//! Debian packages: versions, source packages, builds with `sbuild` or `dpkg-buildpackage`, what they leave and why they
//! fail.
//!
//! | to know | open |
//! |---|---|
//! | how versions order | `versions.rs` |
//! | which architectures a wildcard means | `arch.rs` |
//! | what a `.dsc` or `.changes` may say | `../description/`, `dsc.rs`, `changes.rs` |
//! | who has signed an upload | `signature.rs`, `signed.rs` |
//! | which commands a build runs | `steps.rs` |
//! | what is taken from a build | `../artifact.rs`, `collect.rs`, `produced.rs` |
//! | what a failure means | `classify.rs`, `../build_log.rs`, `unmet.rs` |

mod arch;
mod arch_table;
mod changes;
mod classify;
mod collect;
mod dsc;
mod produced;
mod relation;
mod signature;
mod signed;
mod steps;
mod unmet;
mod versions;

use std::path::Path;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::format::{
    BuildContext, Collected, Exit, Expansion, PackageFormat, SourceInfo, Step, Verdict,
};
use pybit_core::model::{Arch, FileName, FormatName, Produced};
use pybit_core::version::VersionOrder;

pub use changes::{Changes, ChangesFile, read_changes};
pub use signed::DebUploads;
pub use versions::DebVersions;
pub(crate) use versions::upstream_part;

/// The format `deb`.
#[derive(Debug, Clone)]
pub struct DebFormat {
    name: FormatName,
}

impl DebFormat {
    /// The format; it has no settings.
    ///
    /// # Panics
    ///
    /// Never: `deb` is a valid format name.
    #[must_use]
    pub fn new() -> Self {
        Self { name: "deb".parse().expect("deb is a valid format name") }
    }
}

impl Default for DebFormat {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl PackageFormat for DebFormat {
    fn name(&self) -> &FormatName {
        &self.name
    }

    fn versions(&self) -> &dyn VersionOrder {
        &DebVersions
    }

    fn is_source_description(&self, name: &FileName) -> bool {
        name.as_str().strip_suffix(".dsc").is_some()
    }

    fn read_source(&self, bytes: &[u8]) -> Result<SourceInfo> {
        dsc::read(bytes)
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
