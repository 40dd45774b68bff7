//! Sources that lie on this machine: a `.dsc` with its files, a directory with `debian/`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pybit_backends::deb::DebFormat;
use pybit_core::format::PackageFormat;
use pybit_core::model::{FileName, FileSpec};
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

/// Files to send, and the one among them that the submission names.
#[derive(Debug)]
pub(super) struct Local {
    /// What is sent, with its place.
    pub(super) files: Vec<(FileSpec, PathBuf)>,
    /// The main file.
    pub(super) main: FileName,
    /// Holds what was packed until it is sent.
    _packed: Option<tempfile::TempDir>,
}

/// Reads a source that lies on this machine; `None` where `words` name none, so that it is a URL or `apt:NAME`.
pub(super) fn local(words: &str) -> Result<Option<Local>> {
    let path = Path::new(words);
    if path.is_dir() {
        return directory(path).map(Some);
    }
    let is_dsc = path.extension().is_some_and(|e| e == "dsc");
    if is_dsc || path.is_file() { description(path).map(Some) } else { Ok(None) }
}

fn refuse(code: &'static str, message: String) -> Error {
    Error::invalid(message).with_code(code)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Invalid };
    Error::new(kind, format!("cannot read {}: {error}", path.display()))
}

fn name_of(path: &Path) -> Result<FileName> {
    path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default().parse()
}

/// A source description and the files beside it, each checked against it before anything is sent.
fn description(path: &Path) -> Result<Local> {
    let main = name_of(path)?;
    let format = DebFormat::new();
    if !format.is_source_description(&main) {
        let message = format!("{} is neither a .dsc nor a directory with debian/", path.display());
        return Err(refuse("invalid_source", message));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    let source = format.read_source(&bytes).map_err(|e| refuse(e.code(), format!("{}: {e}", path.display())))?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let mut files = vec![(digest(path)?, path.to_owned())];
    for listed in source.files {
        let file = beside.join(listed.name.as_str());
        if !file.is_file() {
            let message = format!("{} lists {}, which is not beside it", path.display(), listed.name);
            return Err(refuse("files_missing", message));
        }
        let there = digest(&file)?;
        if there.size != listed.size {
            let message = format!("{} has {} bytes, and {main} says {}", file.display(), there.size, listed.size);
            return Err(refuse("file_differs", message));
        }
        if there.sha256 != listed.sha256 {
            let message = format!("{} has another SHA-256 than {main} says", file.display());
            return Err(refuse("file_differs", message));
        }
        files.push((there, file));
    }
    Ok(Local { files, main, _packed: None })
}

/// Name, size and SHA-256 of a file.
fn digest(path: &Path) -> Result<FileSpec> {
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let (mut digest, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer).map_err(|e| unreadable(path, &e))?;
        if n == 0 {
            return Ok(FileSpec { name: name_of(path)?, size, sha256: hex::encode(digest.finalize()) });
        }
        digest.update(&buffer[..n]);
        size += n as u64;
    }
}

/// What is never packed: version control, and what builds leave beside it.
const LEFT_OUT: [&str; 5] = [".git", ".svn", ".hg", ".bzr", ".pc"];

/// A source tree, packed with the upstream tarballs that lie beside it.
fn directory(path: &Path) -> Result<Local> {
    let tree = std::fs::canonicalize(path).map_err(|e| unreadable(path, &e))?;
    if !tree.join("debian/control").is_file() {
        let message = format!("{} has no debian/control: it is not a Debian source tree", path.display());
        return Err(refuse("invalid_source", message));
    }
    let packed = tempfile::tempdir().map_err(|e| unreadable(&std::env::temp_dir(), &e))?;
    let file = packed.path().join(format!("{}.tar.zst", label(&tree)));
    pack(&tree, &file).map_err(|e| unreadable(&tree, &e))?;
    let spec = digest(&file)?;
    Ok(Local { main: spec.name.clone(), files: vec![(spec, file)], _packed: Some(packed) })
}

/// The source package's name as the changelog says it, else the directory's.
fn label(tree: &Path) -> String {
    let changelog = std::fs::read_to_string(tree.join("debian/changelog")).unwrap_or_default();
    let first = changelog.split_whitespace().next().unwrap_or_default().to_owned();
    let named = if first.parse::<FileName>().is_ok() { first } else { "source".to_owned() };
    named.chars().take(100).collect()
}

/// `tree/` and, beside it, the upstream tarballs of the changelog's package: sorted, without owners, times kept.
fn pack(tree: &Path, to: &Path) -> std::io::Result<()> {
    let compressed = zstd::Encoder::new(File::create(to)?, 3)?;
    let mut archive = tar::Builder::new(compressed);
    archive.follow_symlinks(false);
    archive.mode(tar::HeaderMode::Deterministic);
    add(&mut archive, tree, Path::new("tree"))?;
    if let Some(parent) = tree.parent() {
        for orig in upstream_tarballs(parent, &label(tree))? {
            let name = orig.file_name().unwrap_or_default().to_owned();
            archive.append_path_with_name(&orig, name)?;
        }
    }
    archive.into_inner()?.finish()?.sync_all()
}

fn add(archive: &mut tar::Builder<impl std::io::Write>, from: &Path, to: &Path) -> std::io::Result<()> {
    archive.append_dir(to, from)?;
    let mut entries = std::fs::read_dir(from)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if LEFT_OUT.iter().any(|l| name == *l) {
            continue;
        }
        let inside = to.join(&name);
        if kind.is_dir() {
            add(archive, &entry.path(), &inside)?;
        } else if kind.is_file() || kind.is_symlink() {
            archive.append_path_with_name(entry.path(), inside)?;
        }
    }
    Ok(())
}

fn upstream_tarballs(parent: &Path, package: &str) -> std::io::Result<Vec<PathBuf>> {
    let belongs = |name: &str| name.starts_with(&format!("{package}_")) && name.contains(".orig") && name.contains(".tar.");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && belongs(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
