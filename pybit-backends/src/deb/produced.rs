//! The binary packages of a build, as `describe.pl` has written them down.

use deb822_fast::{Deb822, Paragraph};
use debian_control::lossy::Relations;
use pybit_core::Result;
use pybit_core::model::Produced;

use super::changes::Changes;
use super::dsc::{package_name, version};
use super::versions::without_epoch;
use crate::artifact::refused;

/// Where `describe.pl` writes.
pub(super) const FILE: &str = "packages.control";

/// The largest that it may be, in bytes.
pub(super) const LARGEST: usize = 16 << 20;

/// The version of a name that is provided without one: no relation but the bare name is meant to be satisfied by it
/// (Debian Policy 7.5), and nothing that is asked for at some version or later is.
const NO_VERSION: &str = "0~";

/// The most names that are kept, provided ones included; more are left out.
const MOST: usize = 2_000;

/// Every `.deb` that a `.changes` lists, then every name that they provide.
///
/// Refuses a package whose file is named for another package, version or architecture than it says of itself.
pub(super) fn read(changes: &Changes, described: &[u8]) -> Result<Vec<Produced>> {
    let text =
        std::str::from_utf8(described).map_err(|_| refused(&format!("{FILE} is not UTF-8")))?;
    let parsed: Deb822 = text.parse().map_err(|_| refused(&format!("{FILE} is malformed")))?;
    let paragraphs: Vec<Paragraph> = parsed.into_iter().collect();
    let (mut packages, mut provided) = (Vec::new(), Vec::new());
    let names = changes.files.iter().map(|f| f.spec.name.as_str());
    for file in names.filter(|name| name.strip_suffix(".deb").is_some()) {
        let paragraph = paragraphs.iter().find(|p| p.get("File") == Some(file));
        let paragraph = paragraph.ok_or_else(|| refused(&format!("{file} is not in {FILE}")))?;
        let package = package(file, paragraph, changes)?;
        provided.extend(provides(&package, paragraph.get("Provides").unwrap_or_default()));
        packages.push(package);
    }
    if packages.is_empty() {
        return Err(refused("it holds no .deb"));
    }
    packages.extend(provided);
    packages.truncate(MOST);
    Ok(packages)
}

fn package(file: &str, paragraph: &Paragraph, changes: &Changes) -> Result<Produced> {
    let field = |name: &str| paragraph.get(name).unwrap_or_default();
    let (name, arch) = (field("Package"), field("Architecture"));
    let version = version(field("Version"))?;
    if file != format!("{name}_{}_{arch}.deb", without_epoch(version.as_str())) {
        return Err(refused(&format!(
            "{file} says another name, version or architecture than its own"
        )));
    }
    if !changes.arches.iter().any(|a| a == arch) {
        return Err(refused(&format!(
            "{file} is for an architecture that the .changes does not name"
        )));
    }
    Ok(Produced { name: package_name(name)?, version, arch: arch.to_owned() })
}

/// The names that a package provides; what cannot be read is left out.
fn provides(package: &Produced, field: &str) -> Vec<Produced> {
    let Relations(all) = field.replace('\n', " ").parse().unwrap_or_default();
    let one = |alternatives: &Vec<debian_control::lossy::Relation>| {
        let relation = alternatives.first()?;
        let written = relation.version.as_ref().map(|(_, v)| v.to_string());
        let version = version(written.as_deref().unwrap_or(NO_VERSION)).ok()?;
        Some(Produced {
            name: package_name(&relation.name).ok()?,
            version,
            arch: package.arch.clone(),
        })
    };
    all.iter().filter_map(one).collect()
}
