//! Where things lie below a repository's root, and which snapshot readers see.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pybit_core::trial::{self, Mutation};
use pybit_core::{Error, Result};
use tempfile::TempDir;

use super::{error, files};

/// Says in a repository's root that it is one, and of which layout.
const MARKER: &str = "pybit-repository";

/// Which kind of repository, and which layout of it, as the marker says it.
pub(super) const APT: &str = "apt 1\n";
pub(super) const RPM: &str = "rpm 1\n";
pub(super) const PYTHON: &str = "python 1\n";

/// A repository's root.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
    kind: &'static str,
}

impl Layout {
    /// The repository of a kind, [`APT`], [`RPM`] or [`PYTHON`], at `root`.
    pub(super) fn new(root: PathBuf, kind: &'static str) -> Self {
        Self { root, kind }
    }

    pub(super) fn gnupg(&self) -> PathBuf {
        self.root.join("gnupg")
    }

    pub(super) fn public_key(&self) -> PathBuf {
        self.root.join("public.asc")
    }

    /// The file that asks for a new key.
    pub(super) fn roll_wanted(&self) -> PathBuf {
        self.root.join("roll-key")
    }

    pub(super) fn is_rpm(&self) -> bool {
        self.kind == RPM
    }

    /// What readers see of state `n`.
    pub(super) fn snapshot(&self, n: u64) -> PathBuf {
        self.root.join("snapshots").join(name(n))
    }

    /// What the tools and pybit know of state `n`.
    pub(super) fn state(&self, n: u64) -> PathBuf {
        self.root.join("states").join(name(n))
    }

    /// Makes the root a repository of ours; refuses one that is something else.
    pub(super) fn claim(&self) -> Result<()> {
        let (root, marker) = (&self.root, self.root.join(MARKER));
        let refuse = |what: &str| {
            let message = format!(
                "{} {what}: give the repository an empty directory of its own",
                root.display()
            );
            Err(Error::invalid(message).with_code("foreign_repository").with_op("publish"))
        };
        if root.exists() && !root.is_dir() {
            return refuse("is not a directory");
        }
        files::directory(root)?;
        match files::text(&marker)?.as_deref() {
            Some(kind) if kind == self.kind => {}
            Some(_) => return refuse("holds a repository that this program does not know"),
            None if self.holds_anything()? => return refuse("holds files that are not pybit's"),
            None => {
                let draft = root.join(format!("{MARKER}.new"));
                files::write(&draft, self.kind)?;
                files::rename(&draft, &marker)?;
            }
        }
        for part in ["snapshots", "states", "work"] {
            files::directory(&root.join(part))?;
        }
        Ok(())
    }

    fn holds_anything(&self) -> Result<bool> {
        let draft = format!("{MARKER}.new");
        let names = entries(&self.root)?;
        Ok(names.iter().any(|n| *n != draft))
    }

    /// Waits until no other publication into this repository is under way, in this process or another.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let lock = || {
            let file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|e| error::io("lock", &path, e))
    }

    /// The state that readers see; `None` before the first.
    pub(super) fn current(&self) -> Result<Option<u64>> {
        let path = self.root.join("current");
        let mut seen = None;
        loop {
            let target = match fs::read_link(&path) {
                Ok(target) => target,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(error::io("read", &path, e)),
            };
            let number = target.file_name().and_then(|n| number(&n.to_string_lossy()));
            match number {
                Some(n) if self.snapshot(n).is_dir() && self.state(n).is_dir() => {
                    return Ok(Some(n));
                }
                // Not twice the same: it was turned on, and what it pointed to was pruned, in between.
                _ if seen.as_ref() != Some(&target) => seen = Some(target),
                _ => {
                    return Err(error::corrupt(format!(
                        "{} points to {}, which is not there in full: turn it to one of the snapshots",
                        path.display(),
                        target.display()
                    )));
                }
            }
        }
    }

    /// The number of the next state: higher than every one there is.
    pub(super) fn next(&self) -> Result<u64> {
        let mut numbers = self.numbers("snapshots")?;
        numbers.append(&mut self.numbers("states")?);
        Ok(numbers.last().map_or(1, |n| n + 1))
    }

    fn numbers(&self, part: &str) -> Result<BTreeSet<u64>> {
        Ok(entries(&self.root.join(part))?.iter().filter_map(|n| number(n)).collect())
    }

    /// A place to work in, on the repository's own file system.
    pub(super) fn workplace(&self) -> Result<TempDir> {
        let work = self.root.join("work");
        tempfile::tempdir_in(&work).map_err(|e| error::io("create", &work, e))
    }

    /// Throws away what killed publications have left; the caller holds the lock.
    ///
    /// A tool whose starter was killed may still write there: what cannot be removed now goes the next time.
    pub(super) fn discard_work(&self) -> Result<()> {
        let work = self.root.join("work");
        for name in entries(&work)? {
            if let Err(e) = files::remove_tree(&work.join(name)) {
                tracing::debug!(error = %e, "an abandoned publication stays for now");
            }
        }
        Ok(())
    }

    /// Takes what readers see away, as a tool does that replaces it in place: only a test build does.
    fn turn_away(&self) -> Result<()> {
        let link = self.root.join("current");
        match fs::remove_file(&link) {
            // The first state has none before it.
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(error::io("remove", &link, e)),
            _ => Ok(()),
        }
    }

    /// Turns readers to state `n` by one rename, and makes that durable.
    pub(super) fn turn_to(&self, n: u64) -> Result<()> {
        let (link, draft) = (self.root.join("current"), self.root.join("current.new"));
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(error::io("remove", &draft, e));
            }
            _ => {}
        }
        symlink(Path::new("snapshots").join(name(n)), &draft)
            .map_err(|e| error::io("create", &draft, e))?;
        files::rename(&draft, &link)?;
        files::flush(&self.root)
    }

    /// Makes a finished copy, `site` and `state`, state `number`, durable, and turns readers to it.
    pub(super) fn commit(&self, site: &Path, state: &Path, number: u64) -> Result<()> {
        if trial::is_broken(Mutation::PublishInPlace) {
            self.turn_away()?;
        }
        files::rename(state, &self.state(number))?;
        trial::crash_point("publisher_state_before_snapshot");
        files::rename(site, &self.snapshot(number))?;
        files::flush_all(&self.snapshot(number))?;
        trial::crash_point("publisher_snapshot_before_swap");
        self.turn_to(number)
    }

    /// Prunes after a commit: what cannot be removed now goes with a later one.
    pub(super) fn tidy(&self, keep: usize, current: u64) {
        trial::crash_point("publisher_swap_before_prune");
        if let Err(e) = self.prune(keep, current) {
            tracing::warn!(error = %e, "old snapshots stay for now");
        }
    }

    /// Removes all but the newest `keep` states and the current one, and halves of states that were never finished.
    pub(super) fn prune(&self, keep: usize, current: u64) -> Result<()> {
        let (snapshots, states) = (self.numbers("snapshots")?, self.numbers("states")?);
        let whole: BTreeSet<_> = snapshots.intersection(&states).copied().collect();
        let kept: BTreeSet<_> = whole.into_iter().rev().take(keep).chain(Some(current)).collect();
        // Moved away in one step first: a state that is half removed must not look like one to go back to.
        let bin = self.workplace()?;
        for n in states.difference(&kept) {
            files::rename(&self.state(*n), &bin.path().join(format!("state-{n}")))?;
        }
        for n in snapshots.difference(&kept) {
            files::rename(&self.snapshot(*n), &bin.path().join(format!("snapshot-{n}")))?;
        }
        files::remove_tree(bin.path())
    }
}

/// Nothing can be published yet.
pub(super) fn unprepared() -> Error {
    Error::not_found("the repository has not been prepared yet").with_op("publish")
}

/// The name of state `n`: `000042`.
pub(super) fn name(n: u64) -> String {
    format!("{n:06}")
}

fn number(name: &str) -> Option<u64> {
    let digits = name.len() >= 6 && name.bytes().all(|b| b.is_ascii_digit());
    name.parse().ok().filter(|_| digits)
}

fn entries(dir: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|e| Ok(e?.file_name().to_string_lossy().into_owned()));
        names.collect()
    };
    read().map_err(|e| error::io("read", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("repository"), APT);
        (dir, layout)
    }

    fn make(layout: &Layout, n: u64) {
        fs::create_dir(layout.snapshot(n)).unwrap();
        fs::create_dir(layout.state(n)).unwrap();
    }

    #[test]
    fn a_directory_that_holds_something_else_is_refused() {
        let (_dir, layout) = layout();
        fs::create_dir(&layout.root).unwrap();
        fs::write(layout.root.join("letter.txt"), "x").unwrap();
        let error = layout.claim().unwrap_err();
        assert_eq!(error.code(), "foreign_repository");
        assert!(error.message().contains("empty directory"), "{error}");
        fs::remove_file(layout.root.join("letter.txt")).unwrap();
        layout.claim().unwrap();
        layout.claim().unwrap();
        fs::write(layout.root.join(MARKER), "apt 99\n").unwrap();
        assert_eq!(layout.claim().unwrap_err().code(), "foreign_repository");
    }

    #[test]
    fn pruning_keeps_the_newest_and_the_current_and_drops_halves() {
        let (_dir, layout) = layout();
        layout.claim().unwrap();
        (1..=5).for_each(|n| make(&layout, n));
        fs::create_dir(layout.state(6)).unwrap();
        layout.turn_to(2).unwrap();
        assert_eq!((layout.current().unwrap(), layout.next().unwrap()), (Some(2), 7));
        layout.prune(2, 2).unwrap();
        assert_eq!(layout.numbers("snapshots").unwrap(), [2, 4, 5].into());
        assert_eq!(layout.numbers("states").unwrap(), [2, 4, 5].into());
    }

    #[test]
    fn a_current_that_points_nowhere_is_reported() {
        let (_dir, layout) = layout();
        layout.claim().unwrap();
        assert_eq!(layout.current().unwrap(), None);
        layout.turn_to(7).unwrap();
        assert_eq!(layout.current().unwrap_err().kind(), pybit_core::ErrorKind::Corrupt);
    }
}
