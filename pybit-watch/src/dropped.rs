//! What a drop directory's uploads look like, by package format.

use std::fmt;
use std::path::Path;

use pybit_core::Result;
use pybit_core::model::{FileName, FileSpec, PackageName, Version};

/// A described upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// The source package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// Every file that belongs to it, besides its description.
    pub files: Vec<FileSpec>,
}

/// Reads the descriptions of one format's uploads.
pub trait DropReader: Send + Sync + fmt::Debug {
    /// Whether a file of this name describes an upload.
    fn is_description(&self, name: &str) -> bool;

    /// Reads a description from foreign bytes; one that is cut off anywhere fails.
    fn read(&self, bytes: &[u8]) -> Result<Drop>;

    /// Whether a file belongs to the source package rather than to the result.
    fn is_source_file(&self, drop: &Drop, name: &str) -> bool;

    /// The source description of an upload that brings source and nothing built.
    fn source_alone(&self, drop: &Drop) -> Option<FileName>;
}

/// Debian uploads: a `.changes` and the files it lists, as `dput` and `dpkg-buildpackage` leave them.
#[derive(Debug, Clone, Copy, Default)]
pub struct DebDrops;

impl DropReader for DebDrops {
    fn is_description(&self, name: &str) -> bool {
        Path::new(name).extension().is_some_and(|e| e == "changes")
    }

    fn read(&self, bytes: &[u8]) -> Result<Drop> {
        let changes = pybit_backends::deb::read_changes(bytes)?;
        let files = changes.files.into_iter().map(|f| f.spec).collect();
        Ok(Drop { package: changes.source, version: changes.version, files })
    }

    fn is_source_file(&self, drop: &Drop, name: &str) -> bool {
        let is_source = |n: &str| {
            let ending = Path::new(n).extension().and_then(|e| e.to_str());
            ending == Some("dsc") || n.contains(".tar.") || n.contains(".diff.")
        };
        drop.files.iter().any(|f| is_source(f.name.as_str())) && is_source(name)
    }

    fn source_alone(&self, drop: &Drop) -> Option<FileName> {
        let ending = |f: &FileSpec, endings: &[&str]| {
            let ending = Path::new(f.name.as_str()).extension().and_then(|e| e.to_str());
            ending.is_some_and(|e| endings.contains(&e))
        };
        if drop.files.iter().any(|f| ending(f, &["deb", "udeb", "ddeb"])) {
            return None;
        }
        drop.files.iter().find(|f| ending(f, &["dsc"])).map(|f| f.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_alone_is_a_dsc_without_anything_built() {
        let drop = |names: &[&str]| Drop {
            package: "x".parse().unwrap(),
            version: "1".parse().unwrap(),
            files: names
                .iter()
                .map(|n| FileSpec { name: n.parse().unwrap(), size: 1, sha256: "0".repeat(64) })
                .collect(),
        };
        let source = ["x_1.tar.xz", "x_1.dsc", "x_1_source.buildinfo"];
        let dsc = Some("x_1.dsc".parse().unwrap());
        assert_eq!(DebDrops.source_alone(&drop(&source)), dsc);
        for built in ["x_1_all.deb", "x-di_1_all.udeb", "x-dbgsym_1_amd64.ddeb"] {
            let with = [&source[..], &[built]].concat();
            assert_eq!(DebDrops.source_alone(&drop(&with)), None, "{built}");
        }
        assert_eq!(DebDrops.source_alone(&drop(&["x_1.tar.xz"])), None);
    }
}
