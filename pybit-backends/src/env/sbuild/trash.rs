//! Roots on their way out: off a job's directory at once, off the disk after that.
//!
//! A root has some 13,000 files. Removing them takes from half a second to half a minute, as busy as the disk is, and
//! nobody who cancelled a job should wait for that.

use std::io::ErrorKind::CrossesDevices;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pybit_core::Result;

use super::disk;
use super::namespace::Namespace;
use crate::exec::Exec;

/// The directory of roots that nobody uses any more; on the file system of the tarballs.
#[derive(Debug)]
pub(super) struct Trash {
    dir: PathBuf,
    /// Whether what an earlier process has left here was looked at.
    seen: AtomicBool,
}

impl Trash {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, seen: AtomicBool::new(false) }
    }

    /// Moves a directory out of the way and removes it in the background; removes it at once where it lies on another
    /// file system. A process that ends leaves the rest to the next one.
    pub(super) async fn take(&self, exec: &Exec, namespace: Namespace, dir: &Path) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.dir).map_err(|e| disk("make", &self.dir, e))?;
        let place = tempfile::Builder::new().prefix("root-").tempdir_in(&self.dir);
        let place = place.map_err(|e| disk("make a directory in", &self.dir, e))?;
        match std::fs::rename(dir, place.path().join("scratch")) {
            Ok(()) => {
                remove(exec.clone(), namespace, place.keep());
                Ok(())
            }
            Err(e) if e.kind() == CrossesDevices => namespace.remove(exec, dir).await,
            Err(e) => Err(disk("move away", dir, e)),
        }
    }

    /// Removes what an earlier process could not, in the background; looks once.
    pub(super) fn empty(&self, exec: &Exec, namespace: Namespace) {
        if self.seen.swap(true, Ordering::Relaxed) {
            return;
        }
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            remove(exec.clone(), namespace, entry.path());
        }
    }
}

fn remove(exec: Exec, namespace: Namespace, dir: PathBuf) {
    tokio::spawn(async move {
        if let Err(error) = namespace.remove(&exec, &dir).await {
            tracing::warn!(%error, "an old root stays on the disk until the next start");
        }
    });
}
