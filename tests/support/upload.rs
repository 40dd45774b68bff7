//! Complete uploads as maintainers make them: `.changes` with all their files.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::package::Package;

/// Builds a package as a maintainer would, below `parent`, and returns the directory of the upload.
pub(crate) fn built(parent: &Path, package: &Package) -> PathBuf {
    made(parent, package, "--build=full")
}

/// The same with source alone.
pub(crate) fn source_alone(parent: &Path, package: &Package) -> PathBuf {
    made(parent, package, "--build=source")
}

fn made(parent: &Path, package: &Package, kind: &str) -> PathBuf {
    let dir = parent.join("maintainer").join(format!("{}-{}", package.name, package.version));
    let tree = package.write(&dir);
    let args = ["-us", "-uc", kind, "--no-sign"];
    let output = Command::new("dpkg-buildpackage").args(args).current_dir(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}

/// The files of a directory, without what lies deeper.
pub(crate) fn files_of(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.filter(|p| p.is_file()).collect()
}

/// Puts files into a drop directory.
pub(crate) fn drop_files<'a>(files: impl IntoIterator<Item = &'a PathBuf>, incoming: &Path) {
    for file in files {
        std::fs::copy(file, incoming.join(file.file_name().unwrap())).unwrap();
    }
}
