//! Reading `.dsc`, the description of a Debian source package (Debian Policy 5.4).

use std::collections::BTreeSet;

use pybit_core::Result;
use pybit_core::format::{MAX_BINARIES, SourceInfo};
use pybit_core::model::{PackageName, Version};
use pybit_core::version::VersionOrder;
use pybit_core::{Error, model::FileSpec};

use super::arch;
use super::versions::{DebVersions, Parts, without_epoch};
use crate::description::files;
use crate::description::{Kind, Paragraph};

const DSC: Kind = Kind { name: ".dsc", code: "invalid_dsc" };

/// Reads a `.dsc`, signed inline or not.
///
/// Fails with `invalid_package`, `invalid_version`, `invalid_arch` for what those fields say, with `invalid_dsc` for
/// everything else.
pub(super) fn read(bytes: &[u8]) -> Result<SourceInfo> {
    let paragraph = Paragraph::read(DSC, bytes)?;
    let package = package_name(paragraph.require("Source")?)?;
    let version = version(paragraph.require("Version")?)?;
    let arches: Vec<String> =
        paragraph.require("Architecture")?.split_ascii_whitespace().map(str::to_owned).collect();
    arch::check_declared(&arches)?;
    let files: Vec<FileSpec> =
        files::read(&paragraph, 0)?.into_iter().map(|listed| listed.spec).collect();
    if !files.iter().all(|file| belongs(file, &package, &version)) {
        return Err(paragraph.refuse(
            "it lists a file whose name does not start with the source package's name and version",
        ));
    }
    let binaries = binaries(&paragraph)?;
    Ok(SourceInfo { package, version, arches, binaries, files })
}

/// The names of `Package-List` (dsc(5): one package a line, its name first), else those of `Binary` (separated by commas).
fn binaries(paragraph: &Paragraph) -> Result<Vec<PackageName>> {
    let names: Vec<&str> = match (paragraph.get("Package-List"), paragraph.get("Binary")) {
        (Some(list), _) => {
            list.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect()
        }
        (None, Some(list)) => list.split(',').map(str::trim).filter(|n| !n.is_empty()).collect(),
        (None, None) => Vec::new(),
    };
    if names.len() > MAX_BINARIES {
        return Err(paragraph.refuse(format!("it builds more than {MAX_BINARIES} binary packages")));
    }
    let names: BTreeSet<PackageName> =
        names.into_iter().map(package_name).collect::<Result<_>>()?;
    Ok(names.into_iter().collect())
}

/// A source or binary package's name, as dpkg allows it.
pub(super) fn package_name(text: &str) -> Result<PackageName> {
    let name: PackageName = text.parse()?;
    if text.len() < 2 || text.contains('_') {
        return Err(Error::invalid(
            "the package name is refused: it must be two or more letters, digits and + - .",
        )
        .with_code("invalid_package"));
    }
    Ok(name)
}

/// A version that both pybit and dpkg accept.
pub(super) fn version(text: &str) -> Result<Version> {
    DebVersions.parse(text)?;
    text.parse()
}

/// dpkg-source names each file `SOURCE_UPSTREAM.…` or `SOURCE_UPSTREAM-REVISION.…`.
fn belongs(file: &FileSpec, package: &PackageName, version: &Version) -> bool {
    let Ok(parts) = Parts::read(version.as_str()) else {
        return false;
    };
    let description = format!("{package}_{}.dsc", without_epoch(version.as_str()));
    let rest = file.name.as_str().strip_prefix(package.as_str());
    let rest = rest.and_then(|r| r.strip_prefix('_')).and_then(|r| r.strip_prefix(parts.upstream));
    rest.is_some_and(|r| r.starts_with(['.', '-'])) && file.name.as_str() != description
}
