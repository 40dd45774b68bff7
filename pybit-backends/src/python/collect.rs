//! Takes the results of a build out of its output directory.

use std::path::Path;

use pybit_core::Result;
use pybit_core::format::Collected;
use pybit_core::model::{FileSpec, Produced};

use super::name::{self, WheelName};
use super::source::{self, ALL, version};
use crate::artifact::{self, refused};
use crate::description::{Kind, Paragraph, files};

/// What `describe.py` writes.
const RESULT: Kind = Kind { name: ".wheels-info", code: "invalid_artifact" };

/// Gathers and checks a build's result: the one `.sdist-info` or `.wheels-info`, and exactly the files that it lists. Fails, `Invalid`,
/// with code `invalid_artifact`, or with the codes of `.sdist-info` for what that says.
pub(super) async fn collect(output: &Path, source_build: bool) -> Result<Collected> {
    let output = output.to_owned();
    artifact::blocking(move || if source_build { source(&output) } else { binary(&output) }).await
}

fn source(output: &Path) -> Result<Collected> {
    let (main, bytes) = artifact::description(output, source::SUFFIX)?;
    let info = source::read(&bytes)?;
    let stem = main.as_str().strip_suffix(source::SUFFIX).unwrap_or_default();
    // A build finds the sdist by the name of its description.
    if info.files.iter().any(|file| file.name.as_str() != format!("{stem}.tar.gz")) {
        return Err(refused(&format!("{main} is not named for the file that it describes")));
    }
    artifact::gather(output, main, &bytes, info.files.iter(), Vec::new())
}

fn binary(output: &Path) -> Result<Collected> {
    let (main, bytes) = artifact::description(output, RESULT.name)?;
    let paragraph = Paragraph::read(RESULT, &bytes)?;
    source::check_python(&paragraph)?;
    let listed = files::checksums(&paragraph)?;
    let produced = produced(&paragraph, &listed)?;
    artifact::gather(output, main, &bytes, listed.iter(), produced)
}

/// Every listed wheel; refuses one whose name is of another project, version or machine than the description says (PEP 427).
fn produced(paragraph: &Paragraph, listed: &[FileSpec]) -> Result<Vec<Produced>> {
    let project = name::checked(paragraph.require("Source")?)?;
    let version = version(paragraph.require("Version")?)?;
    let arch = paragraph.require("Architecture")?;
    let mut all = Vec::new();
    for file in listed {
        let named = WheelName::read(file.name.as_str());
        let named = named.filter(|wheel| wheel.is_of(project.as_str(), version.as_str()));
        let Some(wheel) = named else {
            return Err(refused(&format!("{} is no wheel of {project} {version}", file.name)));
        };
        let fits = if arch == ALL { wheel.is_for_all() } else { wheel.is_for(arch) };
        if !fits {
            return Err(refused(&format!("{} is for another machine than {arch}", file.name)));
        }
        let arch = arch.to_owned();
        all.push(Produced { name: project.clone(), version: version.clone(), arch });
    }
    if all.len() == 1 {
        return Ok(all);
    }
    Err(refused("it must list exactly one wheel"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;

    use sha2::{Digest, Sha256};

    use super::*;

    fn described(head: &str, files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut text = format!("{head}\nChecksums-Sha256:\n");
        for file in files {
            fs::write(dir.path().join(file), file).unwrap();
            let digest = hex::encode(Sha256::digest(file));
            writeln!(text, " {digest} {} {file}", file.len()).unwrap();
        }
        fs::write(dir.path().join("foo-1.0.wheels-info"), text).unwrap();
        dir
    }

    #[tokio::test]
    async fn a_wheel_that_is_named_for_something_else_is_refused() {
        let head = |arch: &str| format!("Source: foo-bar\nVersion: 1.0\nArchitecture: {arch}");
        let good = described(&head("x86_64"), &["foo_bar-1.0-cp311-cp311-linux_x86_64.whl"]);
        let collected = collect(good.path(), false).await.unwrap();
        let produced = &collected.produced[0];
        assert_eq!((produced.name.as_str(), produced.arch.as_str()), ("foo-bar", "x86_64"));
        assert_eq!(collected.files.len(), 2);
        for (arch, files) in [
            ("x86_64", &["foo_bar-1.0-py3-none-any.whl"][..]),
            ("all", &["foo_bar-1.0-cp311-cp311-linux_x86_64.whl"]),
            ("all", &["foo_baz-1.0-py3-none-any.whl"]),
            ("all", &["foo_bar-1.1-py3-none-any.whl"]),
            ("all", &["foo_bar-1.0.tar.gz"]),
            ("all", &["foo_bar-1.0-py3-none-any.whl", "foo_bar-1.0-py2-none-any.whl"]),
        ] {
            let error = collect(described(&head(arch), files).path(), false).await.unwrap_err();
            assert_eq!(error.code(), "invalid_artifact", "{files:?}: {error}");
        }
    }
}
