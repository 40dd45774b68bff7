//! One change of a repository, made beside its current state.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::trial::{self, Mutation};

use super::super::draft::Draft;
use super::super::key::Keys;
use super::super::layout::Layout;
use super::super::names::Claims;
use super::super::past::Left;
use super::super::signing::Gpg;
use super::super::slots::Slot;
use super::super::snapshot_config::SnapshotConfig;
use super::super::{error, files};
use super::index::{self, Entry, Index};
use super::package::Item;

/// The new state. Dropped before it is [committed](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Transaction {
    draft: Draft,
    /// What the new state holds.
    index: Index,
    /// What of it was not there before, with its path below the snapshot.
    came: Vec<(String, String)>,
}

impl Transaction {
    /// A state of what stays and what comes, with its pages; what comes is taken out of its place. Blocking.
    pub(super) fn begin(
        layout: &Layout,
        config: &SnapshotConfig,
        keep: Index,
        add: Vec<Item>,
    ) -> Result<Self> {
        let draft = Draft::begin(layout, config)?;
        let (mut index, mut came) = (keep, Vec::new());
        for (slot, entry) in &index {
            for path in index::paths(slot, entry) {
                draft.stay(&path)?;
            }
        }
        for Item { slot, entry, file, .. } in add {
            let path = index::path(&slot, &entry.file);
            draft.come(&file, &path)?;
            if entry.metadata.is_some() {
                draft.come(&metadata(&file), &format!("{path}.metadata"))?;
            }
            came.push((path, entry.sha256.clone()));
            index.insert(slot, entry);
        }
        index::write(&draft.state(), &draft.site(), &index)?;
        Ok(Self { draft, index, came })
    }

    /// Writes down which packages the new state has no longer, and which set it is the first to hold.
    pub(super) fn record(&mut self, left: &[Left], set: Option<&str>) -> Result<()> {
        self.draft.record(left, set)
    }

    /// Writes a signature beside everything that has come, and has gpg verify it.
    pub(super) async fn sign(&self, gpg: &Gpg<'_>, fingerprint: &str) -> Result<()> {
        for (path, _) in &self.came {
            let file = self.draft.site().join(path);
            let signature = self.draft.site().join(format!("{path}.asc"));
            gpg.sign_file(&[fingerprint.to_owned()], "--detach-sign", &file, &signature).await?;
            if !trial::is_broken(Mutation::TrustTool) {
                gpg.verify_file(fingerprint, &file, &signature).await?;
            }
        }
        Ok(())
    }

    /// Compares what came with what was to come; blocking. The files of the index.
    pub(super) fn verify(&self) -> Result<BTreeSet<String>> {
        for (path, sha256) in &self.came {
            let file = self.draft.site().join(path);
            if files::digest(&file)?.0 != *sha256 {
                return Err(error::corrupt(format!("{} is not what was added", file.display())));
            }
        }
        let paths = |(slot, entry): (&Slot, &Entry)| index::paths(slot, entry);
        Ok(self.index.iter().flat_map(paths).collect())
    }

    /// Writes the key and what is kept of older states; blocking.
    pub(super) fn seal(
        &self,
        own: BTreeSet<String>,
        keys: &Keys,
        state: u64,
        now: Timestamp,
    ) -> Result<()> {
        self.draft.seal(own, keys, state, now)
    }

    /// Makes this state `number`, durable, and turns readers to it; blocking.
    pub(super) fn commit(self, number: u64) -> Result<()> {
        self.draft.commit(number)
    }

    /// Makes what stays come anew, to be signed with another key; blocking.
    pub(super) fn renew_items(snapshot: &Path, index: &Index, place: &Path) -> Result<Vec<Item>> {
        let copy = |from: &Path, to: &Path| {
            fs::copy(from, to).map(drop).map_err(|e| error::io("copy", from, e))
        };
        let mut items = Vec::new();
        for (slot, entry) in index {
            let from = snapshot.join(index::path(slot, &entry.file));
            let file = place.join(&entry.file);
            copy(&from, &file)?;
            if entry.metadata.is_some() {
                copy(&metadata(&from), &metadata(&file))?;
            }
            let (slot, entry, claims) = (slot.clone(), entry.clone(), Claims::default());
            items.push(Item { slot, entry, file, claims });
        }
        Ok(items)
    }
}

/// Where the metadata of a wheel lies.
fn metadata(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".metadata");
    path.into()
}
