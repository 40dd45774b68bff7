//! Debian packages whose only build step is ours.

use std::path::Path;

use async_trait::async_trait;
use pybit::backends::deb::DebFormat;
use pybit::core::format::{
    BuildContext, Collected, Exit, Expansion, PackageFormat, Place, SourceInfo, Step, Verdict,
};
use pybit::core::model::{Arch, Failure, FailureClass, FileName, FileSpec, FormatName, Produced};
use pybit::core::version::VersionOrder;
use pybit::{Error, ErrorKind, Result};

use super::bytes;

/// The real format for whatever is read; steps and results are ours.
#[derive(Debug)]
pub(super) struct Fake(DebFormat);

impl Fake {
    pub(super) fn new() -> Self {
        Self(DebFormat::new())
    }
}

#[async_trait]
impl PackageFormat for Fake {
    fn name(&self) -> &FormatName {
        self.0.name()
    }
    fn versions(&self) -> &dyn VersionOrder {
        self.0.versions()
    }
    fn is_source_description(&self, name: &FileName) -> bool {
        self.0.is_source_description(name)
    }
    fn read_source(&self, text: &[u8]) -> Result<SourceInfo> {
        self.0.read_source(text)
    }
    fn expand(&self, declared: &[String], served: &[Arch]) -> Result<Expansion> {
        self.0.expand(declared, served)
    }
    fn source_steps(&self, _: &BuildContext) -> Result<Vec<Step>> {
        Err(Error::invalid("every source of a chaos run is a source package already"))
    }

    fn binary_steps(&self, context: &BuildContext) -> Result<Vec<Step>> {
        Ok(vec![Step {
            phase: "build",
            argv: vec!["chaos-build".to_owned(), context.source.display().to_string()],
            place: Place::Inside,
            cwd: context.output.clone(),
            vars: [("ARCH".to_owned(), context.arch.to_string())].into(),
            network: false,
        }])
    }

    async fn collect(&self, output: &Path, source_build: bool) -> Result<Collected> {
        if source_build {
            return self.0.collect(output, true).await;
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(output).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let bytes = std::fs::read(&path).map_err(unreadable)?;
            let name: FileName = path.file_name().unwrap_or_default().to_string_lossy().parse()?;
            files.push((
                FileSpec { name, size: bytes.len() as u64, sha256: bytes::sha256(&bytes) },
                path,
            ));
        }
        let [(spec, _)] = files.as_slice() else {
            return Err(Error::invalid("a build leaves one file"));
        };
        let stem = spec.name.as_str().trim_end_matches(".deb").to_owned();
        let [package, version, arch] = stem.split('_').collect::<Vec<_>>()[..] else {
            return Err(Error::invalid("a build leaves a .deb"));
        };
        let produced =
            Produced { name: package.parse()?, version: version.parse()?, arch: arch.to_owned() };
        let main = spec.name.clone();
        Ok(Collected { files, main, produced: vec![produced] })
    }

    fn classify(&self, phase: &str, exit: Exit, tail: &str) -> Verdict {
        let failure = |class, message| Failure { class, message };
        if let Some(unmet) = tail.lines().rev().find_map(|l| l.strip_prefix("chaos-unmet ")) {
            let message = "a build dependency is missing".to_owned();
            return Verdict {
                failure: failure(FailureClass::DepWait, message),
                unmet: vec![unmet.to_owned()],
            };
        }
        let message = format!("{phase} ended with {exit:?}");
        Verdict { failure: failure(FailureClass::Build, message), unmet: vec![] }
    }

    fn satisfies(&self, relation: &str, package: &Produced) -> bool {
        self.0.satisfies(relation, package)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function argument of map_err")]
fn unreadable(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot read the result: {e}"))
}
