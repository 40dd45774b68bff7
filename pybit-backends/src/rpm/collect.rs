//! Takes the results of a build out of its output directory.

use std::path::Path;

use pybit_core::Result;
use pybit_core::format::Collected;
use pybit_core::model::{FileSpec, Produced};

use super::source::{self, version};
use crate::artifact::{self, refused};
use crate::description::{Kind, Paragraph, files};

/// What `describe.pl` writes.
const RESULT: Kind = Kind { name: ".rpms-info", code: "invalid_artifact" };

/// The most names that are kept, provided ones included; more are left out.
const MOST: usize = 2_000;

/// The version of a name that is provided without one: rpm lets it satisfy the bare name only.
const NO_VERSION: &str = "0~";

/// Gathers and checks a build's result: the one `.srpm-info` or `.rpms-info`, and exactly the files that it lists. Fails, `Invalid`,
/// with code `invalid_artifact`, or with the codes of `.srpm-info` for what that says.
pub(super) async fn collect(output: &Path, source_build: bool) -> Result<Collected> {
    let output = output.to_owned();
    artifact::blocking(move || if source_build { source(&output) } else { binary(&output) }).await
}

fn source(output: &Path) -> Result<Collected> {
    let (main, bytes) = artifact::description(output, source::SUFFIX)?;
    let info = source::read(&bytes)?;
    artifact::gather(output, main, &bytes, info.files.iter(), Vec::new())
}

fn binary(output: &Path) -> Result<Collected> {
    let (main, bytes) = artifact::description(output, RESULT.name)?;
    let paragraph = Paragraph::read(RESULT, &bytes)?;
    let listed = files::checksums(&paragraph)?;
    let produced = produced(&paragraph, &listed)?;
    artifact::gather(output, main, &bytes, listed.iter(), produced)
}

/// Every listed package, then every name that they provide; refuses a file that is named for another package than it says.
fn produced(paragraph: &Paragraph, listed: &[FileSpec]) -> Result<Vec<Produced>> {
    let arch = paragraph.require("Architecture")?;
    let mut all = Vec::new();
    let lines = |text: &str| {
        text.lines().map(str::to_owned).filter(|l| !l.trim().is_empty()).collect::<Vec<_>>()
    };
    for line in lines(paragraph.require("Packages")?) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, evr, own, file] = words.as_slice() else {
            return Err(paragraph.refuse("the field Packages has a malformed line"));
        };
        let package =
            Produced { name: name.parse()?, version: version(evr)?, arch: (*own).to_owned() };
        let plain = evr.split_once(':').map_or(*evr, |(_, rest)| rest);
        if *file != format!("{name}-{plain}.{own}.rpm")
            || !listed.iter().any(|l| l.name.as_str() == *file)
        {
            return Err(refused(&format!(
                "{file} says another name, version or architecture than its own"
            )));
        }
        if *own != arch && *own != "noarch" {
            return Err(refused(&format!("{file} is for another architecture than {arch}")));
        }
        all.push(package);
    }
    if all.len() != listed.len() {
        return Err(refused("its packages are not the files that it lists"));
    }
    for line in lines(paragraph.get("Provides").unwrap_or_default()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [name, evr, own] = words.as_slice() {
            let evr = if *evr == "-" { NO_VERSION } else { evr };
            // A name such as `pkgconfig(foo)` is none that pybit can hold.
            if let (Ok(name), Ok(version)) = (name.parse(), version(evr)) {
                all.push(Produced { name, version, arch: (*own).to_owned() });
            }
        }
    }
    all.truncate(MOST);
    Ok(all)
}
