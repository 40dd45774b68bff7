//! What a repository is that holds the newest version of each package.

use std::path::PathBuf;
use std::time::Duration;

use pybit_core::Result;
use pybit_core::model::{Arch, Dist, Suite};

use super::config::{KeyChoice, checked_arches, checked_root, refuse};

/// One repository of one suite: of RPM packages, or of Python distributions.
#[derive(Debug, Clone)]
pub struct SnapshotConfig {
    /// Where it lies: empty at first, and the repository's alone ever after.
    pub root: PathBuf,
    /// The distribution; in the key's user id.
    pub dist: Dist,
    /// The suite; in the key's user id.
    pub suite: Suite,
    /// The architectures it serves, as the format names them; packages for every machine and source packages need no mention.
    pub arches: Vec<Arch>,
    /// The key that signs: of an RPM repository the index and every package, of a Python index every file. One that is made for RPM is
    /// of 4096 bit RSA, which every rpm that is in use can verify.
    pub key: KeyChoice,
    /// Snapshots to keep, the current one among them; at least 1.
    pub keep_snapshots: usize,
    /// How long a file that the current state no longer names stays fetchable at least, for readers that have read an
    /// older index; besides, it stays for `keep_snapshots` states.
    pub keep_files: Duration,
    /// The validity of a key that is made or renewed. `None`: without end. rpm takes no renewed key over by itself: for a
    /// reader that imported a key with an end, that end stays.
    pub key_life: Option<Duration>,
}

impl SnapshotConfig {
    /// A repository at `root` with the usual choices: own key, 3 snapshots, replaced files kept for an hour.
    pub fn new(root: impl Into<PathBuf>, dist: Dist, suite: Suite, arches: Vec<Arch>) -> Self {
        Self {
            root: root.into(),
            dist,
            suite,
            arches,
            key: KeyChoice::Generate,
            keep_snapshots: 3,
            keep_files: Duration::from_hours(1),
            key_life: None,
        }
    }

    /// Refuses what cannot be a repository, and makes the root absolute; `all` stands for every architecture.
    pub(super) fn checked(mut self, all: &str) -> Result<Self> {
        self.arches = checked_arches(self.arches, &[all, "any"])?;
        if self.keep_snapshots == 0 {
            return refuse("a repository must keep at least 1 snapshot");
        }
        self.key.check()?;
        self.root = checked_root(&self.root)?;
        Ok(self)
    }

    /// What a state is for, as it is written down in it.
    pub(super) fn about(&self) -> String {
        let arches: Vec<_> = self.arches.iter().map(Arch::as_str).collect();
        format!("{}\nArchitectures: {}\n", self.place(), arches.join(" "))
    }

    /// The line of [`about`](Self::about) that never changes.
    pub(super) fn place(&self) -> String {
        format!("Suite: {} {}", self.dist, self.suite)
    }
}
