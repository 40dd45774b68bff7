//! Files of a repository: digests, links, flushing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use pybit_core::Result;
use sha2::{Digest, Sha256};

use super::error;

/// SHA-256 (lower-case hexadecimal) and size in bytes of a file.
pub(super) fn digest(path: &Path) -> Result<(String, u64)> {
    let read = || -> io::Result<(String, u64)> {
        let mut file = File::open(path)?;
        let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                return Ok((hex::encode(hash.finalize()), size));
            }
            hash.update(&buffer[..n]);
            size += n as u64;
        }
    };
    read().map_err(|e| error::io("read", path, e))
}

/// Creates a directory and what is above it.
pub(super) fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| error::io("create", path, e))
}

/// Writes a whole file.
pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, bytes).map_err(|e| error::io("write", path, e))
}

/// Reads a whole text file; `None` where there is none.
pub(super) fn text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(error::io("read", path, e)),
    }
}

/// Links `relative` from one tree into another; whether it was there to link. A file that the other has already stays.
pub(super) fn link(relative: &str, from: &Path, to: &Path) -> Result<bool> {
    let (source, target) = (from.join(relative), to.join(relative));
    if let Some(parent) = target.parent() {
        directory(parent)?;
    }
    match fs::hard_link(&source, &target) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(error::io("link", &source, e)),
    }
}

/// Copies reprepro's database into a new directory, but not the lock of a reprepro that somebody killed: every later run
/// would end with 239.
pub(super) fn copy_database(from: &Path, to: &Path) -> Result<()> {
    directory(to)?;
    for entry in fs::read_dir(from).map_err(|e| error::io("read", from, e))? {
        let entry = entry.map_err(|e| error::io("read", from, e))?;
        if entry.file_name() == "lockfile" {
            continue;
        }
        let target = to.join(entry.file_name());
        fs::copy(entry.path(), &target).map_err(|e| error::io("write", &target, e))?;
    }
    Ok(())
}

/// Removes a tree; one that is not there is removed already.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Renames within one file system.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| error::io("rename", from, e))
}

/// Flushes the whole file system that holds `path`: one call instead of one for each of a snapshot's directories.
pub(super) fn flush_all(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|e| error::io("open", path, e))?;
    nix::unistd::syncfs(&file).map_err(|e| error::io("flush", path, e.into()))
}

/// Flushes one file or directory.
pub(super) fn flush(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| error::io("flush", path, e))
}

/// Runs blocking work on files off the runtime's own threads. It goes on to its end even where nobody waits any more.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        pybit_core::Error::internal("work on the repository's files was cut off").with_source(e)
    })?
}
