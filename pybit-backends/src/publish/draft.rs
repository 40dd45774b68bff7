//! A state in the making, beside the current one: what stays is linked, what comes is moved in, the rest is the publisher's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pybit_core::clock::Timestamp;
use pybit_core::model::Health;
use pybit_core::{Error, Result};
use tempfile::TempDir;

use super::key::Keys;
use super::layout::Layout;
use super::memory::{Keep, Memory};
use super::past::Left;
use super::snapshot_config::SnapshotConfig;
use super::{error, files};

/// What `about` says, in a state.
const ABOUT: &str = "about";
/// The fingerprint of the key that signed the packages of a state.
const SIGNER: &str = "signer";

/// The draft. Dropped before it is [committed](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Draft {
    work: TempDir,
    layout: Layout,
    before: Memory,
    previous: Option<u64>,
    keep: Keep,
}

impl Draft {
    /// An empty state of a repository; blocking.
    pub(super) fn begin(layout: &Layout, config: &SnapshotConfig) -> Result<Self> {
        let previous = layout.current()?;
        let work = layout.workplace()?;
        let before = previous.map_or(Ok(Memory::default()), |n| Memory::read(&layout.state(n)))?;
        let keep = Keep { states: config.keep_snapshots as u64, time: config.keep_files };
        let new = Self { work, layout: layout.clone(), before, previous, keep };
        files::directory(&new.site())?;
        files::directory(&new.state())?;
        files::write(&new.state().join(ABOUT), config.about())?;
        Ok(new)
    }

    /// Its own directory, for what is part of no state.
    pub(super) fn work(&self) -> &Path {
        self.work.path()
    }

    /// What readers will see.
    pub(super) fn site(&self) -> PathBuf {
        self.work().join("site")
    }

    /// What pybit will know of it.
    pub(super) fn state(&self) -> PathBuf {
        self.work().join("state")
    }

    /// What readers see now.
    pub(super) fn previous(&self) -> Option<PathBuf> {
        self.previous.map(|n| self.layout.snapshot(n))
    }

    /// Takes a file of the current state over; it must be there.
    pub(super) fn stay(&self, path: &str) -> Result<()> {
        let snapshot = self.previous().unwrap_or_default();
        if files::link(path, &snapshot, &self.site())? {
            return Ok(());
        }
        Err(error::corrupt(format!("{path} is missing from {}", snapshot.display())))
    }

    /// Moves a file in.
    pub(super) fn come(&self, file: &Path, path: &str) -> Result<()> {
        let to = self.site().join(path);
        if let Some(parent) = to.parent() {
            files::directory(parent)?;
        }
        files::rename(file, &to)
    }

    /// Writes down which packages the new state has no longer, and which set it is the first to hold.
    pub(super) fn record(&mut self, left: &[Left], set: Option<&str>) -> Result<()> {
        self.before.past.record(left);
        if let Some(id) = set {
            self.before.publish(id, self.layout.next()?);
        }
        Ok(())
    }

    /// Writes the key and what is kept of older states; blocking. `own` are the files that the new index names.
    pub(super) fn seal(
        &self,
        own: BTreeSet<String>,
        keys: &Keys,
        state: u64,
        now: Timestamp,
    ) -> Result<()> {
        let memory = self.before.next(own, state, now, self.keep);
        if let Some(snapshot) = self.previous() {
            for path in memory.retired_paths() {
                files::link(path, &snapshot, &self.site())?;
            }
        }
        files::write(&self.site().join("pybit.asc"), &keys.public)?;
        files::write(&self.state().join(SIGNER), keys.of_packages())?;
        memory.write(&self.state())
    }

    /// Makes this state `number`, durable, and turns readers to it; blocking.
    pub(super) fn commit(self, number: u64) -> Result<()> {
        self.layout.commit(&self.site(), &self.state(), number)
    }
}

/// Whether a state is what the configuration and the key would make anew.
pub(super) fn is_of(layout: &Layout, config: &SnapshotConfig, n: u64, key: &str) -> Result<bool> {
    Ok(about(layout, n)? == config.about() && given_key(layout, n)?.as_deref() == Some(key))
}

/// Whether the packages of a state are signed by the key that signs packages now.
pub(super) fn is_signed_by(layout: &Layout, n: u64, keys: &Keys) -> Result<bool> {
    Ok(match files::text(&layout.state(n).join(SIGNER))? {
        Some(signer) => signer == keys.of_packages(),
        // A state of an older program.
        None => given_key(layout, n)?.as_deref() == Some(&keys.public),
    })
}

/// When a state was made.
fn dated(layout: &Layout, n: u64) -> Result<Timestamp> {
    Ok(Timestamp::from_micros(Memory::read(&layout.state(n))?.date * 1_000_000))
}

/// The health of a repository whose index has no end of its own: a reader's option says how long it believes an index (dnf:
/// `metadata_expire`).
pub(super) fn health(
    layout: &Layout,
    n: u64,
    key_expires_at: Option<Timestamp>,
    trouble: Option<&Error>,
) -> Result<Health> {
    Ok(Health {
        key_expires_at,
        dated_at: Some(dated(layout, n)?),
        valid_until: None,
        trouble: trouble.map(|e| e.message().to_owned()),
    })
}

/// The key that a state was given to readers with.
fn given_key(layout: &Layout, n: u64) -> Result<Option<String>> {
    files::text(&layout.snapshot(n).join("pybit.asc"))
}

/// Refuses a root that another suite has.
pub(super) fn check_place(layout: &Layout, config: &SnapshotConfig, n: u64) -> Result<()> {
    let place = config.place();
    if about(layout, n)?.lines().any(|l| l == place) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} holds a repository of another suite than {}: give each suite a directory of its own",
        config.root.display(),
        config.suite
    ))
    .with_code("foreign_repository"))
}

fn about(layout: &Layout, n: u64) -> Result<String> {
    Ok(files::text(&layout.state(n).join(ABOUT))?.unwrap_or_default())
}
