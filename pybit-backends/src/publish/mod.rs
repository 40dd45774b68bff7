//! Repositories that users install from: [`Reprepro`] makes apt repositories with `reprepro` and `gpg`, [`Createrepo`] RPM repositories
//! with `createrepo_c`, `rpmsign` and `gpg`, [`SimpleIndex`] indices of Python distributions with `gpg`.
//!
//! Below a repository's root:
//!
//! | path | what |
//! |---|---|
//! | `current` | symbolic link to the snapshot that readers see; changed by one `rename` |
//! | `snapshots/000042/` | one state, complete and never changed again: `dists/` and `pool/`, or `repodata/` and `Packages/`, or `simple/` and `packages/`; and `pybit.asc`; packages are hard links |
//! | `states/000042/` | what reprepro knows in that state: `conf/`, `db/`, or `about`, `index.json`; and which files it keeps, and why, and which versions it had: `memory.json` |
//! | `work/` | publications under way; whatever a killed one leaves here is thrown away |
//! | `gnupg/`, `public.asc` | the signing keys, how far a roll-over of them is, and their public halves |
//! | `roll-key` | a file that asks for a new key |
//! | `keyring.json` | which keys the newest keyring package of an apt repository holds |
//! | `lock` | held (`flock`) by the one publication at a time |
//!
//! A publication works on a copy of the current state. The tool adds to the copy, the copy is read back and compared
//! with what it must hold, then it is indexed, signed, flushed, and `current` is turned to it. Until then nothing that a
//! reader sees has changed, so there is nothing to roll back: a failed or killed publication leaves a directory in
//! `work/`, with its stale `db/lockfile` and its torn database, and both are deleted.

mod components;
mod config;
mod draft;
mod error;
mod files;
mod identity;
mod index;
mod inspect;
mod judge;
mod key;
mod keyring;
mod layout;
mod memory;
mod names;
mod past;
mod python;
mod release;
mod reprepro;
mod rpm;
mod set;
mod signing;
mod slots;
mod snapshot_config;
mod tool;
mod transaction;
mod turn;

pub use config::{KeyChoice, RepreproConfig};
pub use identity::{COMPONENTS, Identity};
pub use inspect::inspect;
pub use python::{SimpleIndex, SimpleIndexConfig};
pub use reprepro::Reprepro;
#[cfg(feature = "fuzz")]
pub use rpm::fuzz_primary;
pub use rpm::{Createrepo, CreaterepoConfig};
pub use snapshot_config::SnapshotConfig;
pub use tool::{Done, MachineTools, Tool};
