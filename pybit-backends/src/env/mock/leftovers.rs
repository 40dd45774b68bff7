//! Which roots of mock there are: a small file for each, from before it is made until it is gone.
//!
//! mock keeps its roots in a place of its own, which a killed client never gets to clean. The files are how the next one knows.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pybit_core::Result;

use super::{MockName, failed};

/// The files of one client, and those among them that an earlier process had left when this one began.
#[derive(Debug)]
pub(super) struct Leftovers {
    dir: PathBuf,
    found: Mutex<Vec<Leftover>>,
}

/// A root that nobody uses any more.
#[derive(Debug)]
pub(super) struct Leftover {
    pub(super) config: MockName,
    pub(super) unique: String,
    pub(super) entry: Entry,
}

/// The file that stands for one root: named for what sets it apart, with the name of its configuration in it.
#[derive(Debug, Clone)]
pub(super) struct Entry(PathBuf);

impl Leftovers {
    /// Looks for files; changes nothing. What is no such file is not touched later either.
    pub(super) fn find(dir: PathBuf) -> Self {
        let files = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.path());
        let found = files.filter_map(|file| Leftover::read(&file)).collect();
        Self { dir, found: Mutex::new(found) }
    }

    /// What was found; nothing when asked again.
    pub(super) fn take(&self) -> Vec<Leftover> {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The file for a root; not written yet.
    pub(super) fn entry(&self, unique: &str) -> Entry {
        Entry(self.dir.join(unique))
    }
}

impl Leftover {
    fn read(file: &Path) -> Option<Self> {
        let unique = file.file_name()?.to_str()?;
        let rest = unique.strip_prefix("pybit-")?;
        let config = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
        let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric());
        plain.then(|| Self { config, unique: unique.to_owned(), entry: Entry(file.to_owned()) })
    }
}

impl Entry {
    /// Notes that the root may be there from now on.
    pub(super) fn note(&self, config: &MockName) -> Result<()> {
        let dir = self.0.parent().unwrap_or(Path::new("/"));
        let written =
            std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&self.0, config.as_str()));
        written.map_err(|e| failed("write", &self.0, e))
    }

    /// Notes that it is gone.
    pub(super) fn forget(&self) -> Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &self.0, e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_our_own_are_leftovers_and_each_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("pybit-0123456789abcdef", "fedora-40-x86_64");
        put("pybit-0000", "../evil.cfg");
        put("pybit-a b", "fedora-40-x86_64");
        put("other", "fedora-40-x86_64");
        let leftovers = Leftovers::find(dir.path().to_owned());
        let found = leftovers.take();
        let names: Vec<_> = found.iter().map(|l| (l.unique.as_str(), l.config.as_str())).collect();
        assert_eq!(names, [("pybit-0123456789abcdef", "fedora-40-x86_64")]);
        assert!(leftovers.take().is_empty());
        found[0].entry.forget().unwrap();
        found[0].entry.forget().unwrap();
        assert!(Leftovers::find(dir.path().to_owned()).take().is_empty());
    }
}
