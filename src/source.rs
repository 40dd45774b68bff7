//! Sources that lie on this machine: a `.dsc` with its files, a `.src.rpm`, an sdist, a directory with `debian/`, a spec file,
//! `pyproject.toml` or `setup.py`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pybit_backends::python;
use pybit_client::{Api, Destination, Retry};
use pybit_core::model::{FileName, FileSpec, Source};
use pybit_core::protocol::Manifest;
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::roles::formats;

/// Files to send, and the one among them that the submission names.
#[derive(Debug)]
pub struct Local {
    /// What is sent, with its place.
    pub files: Vec<(FileSpec, PathBuf)>,
    /// The main file.
    pub main: FileName,
    /// Holds what was packed until it is sent.
    _packed: Option<tempfile::TempDir>,
}

impl Local {
    /// Sends the files to a farm; the source that a submission names them by.
    pub async fn send(&self, api: &Api) -> Result<Source> {
        let files = self.files.iter().map(|(spec, _)| spec.clone()).collect();
        let upload = api.declare_upload(&Manifest { attempt: 0, files }).await?;
        api.send_files(Destination::Upload(upload.id), &self.files, &Retry::patient()).await?;
        Ok(Source::Upload { upload: upload.id, main: self.main.clone() })
    }
}

/// Reads a source that lies on this machine; `None` where `words` name one that lies elsewhere: `git+URL`,
/// `svn+URL`, `apt:NAME`. A directory is packed with the upstream tarballs beside it; this reads and hashes files, so it blocks.
pub fn local(words: &str) -> Result<Option<Local>> {
    let path = Path::new(words);
    if path.is_dir() {
        return directory(path).map(Some);
    }
    let is_sdist = || name_of(path).is_ok_and(|name| python::is_sdist(name.as_str()));
    if path.is_file() && (words.ends_with(SOURCE_RPM) || is_sdist()) {
        return whole(path).map(Some);
    }
    let elsewhere = ["git+", "svn+", "apt:"].iter().any(|p| words.starts_with(p));
    if path.is_file() || (path.extension().is_some_and(|e| e == "dsc") && !elsewhere) {
        return description(path).map(Some);
    }
    if elsewhere {
        return Ok(None);
    }
    let message = format!(
        "there is no file or directory {words}; a source is a .dsc or .src.rpm file, an sdist (NAME-VERSION.tar.gz), a directory \
         with debian/, a spec file, pyproject.toml or setup.py, git+URL[#ref], svn+URL[@REVISION] or apt:NAME[=VERSION]"
    );
    Err(Error::not_found(message).with_code("invalid_source"))
}

fn refuse(code: &'static str, message: String) -> Error {
    Error::invalid(message).with_code(code)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::NotFound {
        ErrorKind::NotFound
    } else {
        ErrorKind::Invalid
    };
    Error::new(kind, format!("cannot read {}: {error}", path.display()))
}

fn name_of(path: &Path) -> Result<FileName> {
    path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default().parse()
}

/// A source description and the files beside it, each checked against it before anything is sent.
fn description(path: &Path) -> Result<Local> {
    let main = name_of(path)?;
    let format = formats().into_iter().find(|format| format.is_source_description(&main));
    let format = format.ok_or_else(|| {
        let message = format!(
            "{} is neither a .dsc nor a .src.rpm nor an sdist (NAME-VERSION.tar.gz), nor a directory with debian/, a spec file, \
             pyproject.toml or setup.py",
            path.display()
        );
        refuse("invalid_source", message)
    })?;
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    let source = format
        .read_source(&bytes)
        .map_err(|e| refuse(e.code(), format!("{}: {e}", path.display())))?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let mut files = vec![(digest(path)?, path.to_owned())];
    for listed in source.files {
        let file = beside.join(listed.name.as_str());
        if !file.is_file() {
            let message =
                format!("{} lists {}, which is not beside it", path.display(), listed.name);
            return Err(refuse("files_missing", message));
        }
        let there = digest(&file)?;
        if there.size != listed.size {
            let message = format!(
                "{} has {} bytes, and {main} says {}",
                file.display(),
                there.size,
                listed.size
            );
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
            return Ok(FileSpec {
                name: name_of(path)?,
                size,
                sha256: hex::encode(digest.finalize()),
            });
        }
        digest.update(&buffer[..n]);
        size += n as u64;
    }
}

/// What is never packed: version control, and quilt's notes of what it has applied.
const LEFT_OUT: [&str; 7] = [".git", ".svn", ".hg", ".bzr", "CVS", "_darcs", ".pc"];

/// A source tree, packed with the upstream tarballs that lie beside it.
fn directory(path: &Path) -> Result<Local> {
    let tree = std::fs::canonicalize(path).map_err(|e| unreadable(path, &e))?;
    let python = PYTHON_FILES.iter().any(|file| tree.join(file).is_file());
    if !tree.join("debian/control").is_file() && !has_spec(&tree) && !python {
        let message = format!(
            "{} has no debian/control, no spec file and neither pyproject.toml nor setup.py: it is no source tree of Debian, RPM or \
             Python",
            path.display()
        );
        return Err(refuse("invalid_source", message));
    }
    let packed = tempfile::tempdir().map_err(|e| unreadable(&std::env::temp_dir(), &e))?;
    let file = packed.path().join(format!("{}.tar.zst", label(&tree)));
    pack(&tree, &file).map_err(|e| unreadable(&tree, &e))?;
    let spec = digest(&file)?;
    Ok(Local { main: spec.name.clone(), files: vec![(spec, file)], _packed: Some(packed) })
}

/// Where a tree's spec file may lie.
const SPEC_DIRS: [&str; 4] = ["", "SPECS", "rpm", "packaging"];

/// What a Python project has at its top, one or both (PEP 517).
const PYTHON_FILES: [&str; 2] = ["pyproject.toml", "setup.py"];

/// How a source RPM's name ends.
const SOURCE_RPM: &str = ".src.rpm";

fn has_spec(tree: &Path) -> bool {
    let specs = |dir: &&str| {
        let entries = std::fs::read_dir(tree.join(dir)).into_iter().flatten().flatten();
        entries.into_iter().any(|e| e.path().extension().is_some_and(|e| e == "spec"))
    };
    SPEC_DIRS.iter().any(specs)
}

/// A source RPM or an sdist, sent as a tree that holds nothing else: it is read and described where it is built.
fn whole(path: &Path) -> Result<Local> {
    let name = name_of(path)?;
    let packed = tempfile::tempdir().map_err(|e| unreadable(&std::env::temp_dir(), &e))?;
    let stem = [SOURCE_RPM, ".tar.gz"].iter().find_map(|end| name.as_str().strip_suffix(end));
    let stem = stem.unwrap_or("source");
    let file = packed.path().join(format!("{stem}.tar.zst"));
    let pack = || -> std::io::Result<()> {
        let mut archive = tar::Builder::new(zstd::Encoder::new(File::create(&file)?, 0)?);
        archive.mode(tar::HeaderMode::Deterministic);
        archive.append_path_with_name(path, Path::new("tree").join(name.as_str()))?;
        archive.into_inner()?.finish()?.sync_all()
    };
    pack().map_err(|e| unreadable(path, &e))?;
    let spec = digest(&file)?;
    Ok(Local { main: spec.name.clone(), files: vec![(spec, file)], _packed: Some(packed) })
}

/// The source package's name as the changelog says it, else a word that says nothing.
fn label(tree: &Path) -> String {
    let named = top_entry(tree).map(|(name, _)| name);
    let named = named.filter(|n| n.len() <= 100 && n.parse::<FileName>().is_ok());
    named.unwrap_or_else(|| "source".to_owned())
}

/// Name and version in the changelog's first line, `NAME (VERSION) …` (Debian Policy 4.4), as they stand there.
fn top_entry(tree: &Path) -> Option<(String, String)> {
    let changelog = std::fs::read(tree.join("debian/changelog")).ok()?;
    let text = String::from_utf8_lossy(&changelog);
    let mut words = text.lines().find(|l| !l.trim().is_empty())?.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    let version = version.strip_prefix('(')?.strip_suffix(')')?;
    Some((name.to_owned(), version.to_owned()))
}

/// `tree/` and, beside it, the upstream tarballs of its version. The same tree gives the same bytes: sorted, without
/// owners and times.
fn pack(tree: &Path, to: &Path) -> std::io::Result<()> {
    let compressed = zstd::Encoder::new(File::create(to)?, 3)?;
    let mut archive = tar::Builder::new(compressed);
    archive.follow_symlinks(false);
    archive.mode(tar::HeaderMode::Deterministic);
    add(&mut archive, tree, Path::new("tree"))?;
    if let (Some(parent), Some((name, version))) = (tree.parent(), top_entry(tree)) {
        for orig in upstream_tarballs(parent, &name, &version)? {
            let name = orig.file_name().unwrap_or_default().to_owned();
            archive.append_path_with_name(&orig, name)?;
        }
    }
    archive.into_inner()?.finish()?.sync_all()
}

fn add(
    archive: &mut tar::Builder<impl std::io::Write>,
    from: &Path,
    to: &Path,
) -> std::io::Result<()> {
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

/// `NAME_UPSTREAM.orig.tar.*` and `NAME_UPSTREAM.orig-COMPONENT.tar.*` (dpkg-source(1)), with their signatures.
fn upstream_tarballs(parent: &Path, name: &str, version: &str) -> std::io::Result<Vec<PathBuf>> {
    let version = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let upstream = version.rsplit_once('-').map_or(version, |(upstream, _revision)| upstream);
    let stem = format!("{name}_{upstream}.orig");
    let belongs = |file: &str| {
        let rest = file.strip_prefix(&stem).unwrap_or_default();
        rest.starts_with(".tar.") || (rest.starts_with('-') && rest.contains(".tar."))
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(parent: &Path) -> PathBuf {
        let tree = parent.join("hello-2.10");
        for dir in ["debian", ".git", "sub/.svn"] {
            std::fs::create_dir_all(tree.join(dir)).unwrap();
        }
        let changelog = "hello (1:2.10-3) bookworm; urgency=medium\n";
        for (file, text) in [
            ("debian/control", "Source: hello\n"),
            ("debian/changelog", changelog),
            (".git/config", "secret"),
            ("sub/.svn/entries", "secret"),
            ("sub/file", "content"),
        ] {
            std::fs::write(tree.join(file), text).unwrap();
        }
        std::os::unix::fs::symlink("file", tree.join("sub/link")).unwrap();
        for beside in [
            "hello_2.10.orig.tar.gz",
            "hello_2.10.orig-docs.tar.xz",
            "hello_2.9.orig.tar.gz",
            "hello_2.10-3.debian.tar.xz",
        ] {
            std::fs::write(parent.join(beside), beside).unwrap();
        }
        tree
    }

    #[test]
    fn a_tree_is_packed_with_its_own_upstream_tarballs_and_without_version_control() {
        let dir = tempfile::tempdir().unwrap();
        let local = directory(&tree(dir.path())).unwrap();
        assert_eq!(local.main.as_str(), "hello.tar.zst");
        let packed = zstd::decode_all(File::open(&local.files[0].1).unwrap()).unwrap();
        let mut archive = tar::Archive::new(&packed[..]);
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "tree",
                "tree/debian",
                "tree/debian/changelog",
                "tree/debian/control",
                "tree/sub",
                "tree/sub/file",
                "tree/sub/link",
                "hello_2.10.orig-docs.tar.xz",
                "hello_2.10.orig.tar.gz",
            ]
        );
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_wherever_and_whenever_it_lies() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (tree(one.path()), tree(two.path()));
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        File::open(second.join("sub/file")).unwrap().set_modified(old).unwrap();
        let digest = |t: &Path| directory(t).unwrap().files[0].0.sha256.clone();
        assert_eq!(digest(&first), digest(&second));
        std::fs::write(second.join("sub/file"), "Content").unwrap();
        assert_ne!(digest(&first), digest(&second));
    }

    #[test]
    fn a_python_project_is_packed_as_a_tree_and_an_sdist_as_the_one_file_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        std::fs::create_dir(&project).unwrap();
        let refused = directory(&project).unwrap_err();
        assert!(refused.message().contains("neither pyproject.toml nor setup.py"), "{refused}");
        std::fs::write(project.join("setup.py"), "").unwrap();
        assert_eq!(directory(&project).unwrap().main.as_str(), "source.tar.zst");
        for (file, sent) in [("six-1.16.0.tar.gz", true), ("backup.tar.gz", false)] {
            let path = dir.path().join(file);
            std::fs::write(&path, "x").unwrap();
            match local(path.to_str().unwrap()) {
                Ok(found) => assert_eq!(found.unwrap().main.as_str(), "six-1.16.0.tar.zst"),
                Err(refused) => {
                    assert!(!sent && refused.message().contains("nor an sdist"), "{refused}");
                }
            }
        }
    }
}
