//! Repositories that users install from.

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{FileSpec, Health, PackageName, SigningKey, Version};
use crate::owners::NamePolicy;

/// A complete set of files to publish together.
#[derive(Debug, Clone)]
pub struct PublishSet {
    /// The name of this set, the same at each try to publish it and of no other set; absent: the repository does not
    /// remember it.
    pub id: Option<String>,
    /// The source package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The files of the result, each with its place on the machine.
    pub files: Vec<(FileSpec, PathBuf)>,
    /// The files of the source package, where it is to be published too.
    pub source_files: Vec<(FileSpec, PathBuf)>,
}

/// What became of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The repository holds exactly these bytes, and readers see them: the name of the state that first does.
    Published(String),
    /// The repository refuses them, and always will: why.
    Rejected(String),
}

/// A package in a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The binary or source package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, `source` for a source package.
    pub arch: String,
    /// The source package that it was built from; its own name for a source package.
    pub source: String,
}

/// A removal from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The source package; all that was built from it goes with it.
    pub package: PackageName,
    /// Of which version, as the source package has it; every version where there is none.
    pub version: Option<Version>,
    /// Say only what would be taken out.
    pub dry_run: bool,
}

/// A roll-over of a repository's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRoll {
    /// The name of this request, the same at each try.
    pub id: String,
    /// Say only whether it could begin.
    pub dry_run: bool,
}

/// One repository.
#[async_trait]
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Creates the repository and its signing key where they are not there yet; repairs what a killed run has left.
    async fn prepare(&self) -> Result<()>;

    /// Publishes a set; one at a time for each repository, whoever calls.
    ///
    /// - `published_means_readable`: `Published` says that the state that readers see holds exactly these bytes.
    /// - `publishing_twice_is_harmless`: the same bytes again are `Published`; other bytes for a version that is there,
    ///   and a version older than what is there, are `Rejected` and change nothing.
    /// - `a_name_belongs_to_its_source`: a set with a package whose name another source of the repository or of the base distribution owns,
    ///   or that takes the place of such a package, is `Rejected` with both sources named. The names are those that the packages
    ///   themselves say; `names` is asked about them. What the repository has already stays.
    /// - `removed_versions_do_not_come_back_changed`: other bytes for a version that was [removed](Self::remove) are `Rejected`; the
    ///   same bytes are not.
    /// - `a_set_is_published_once`: a set whose [`id`](PublishSet::id) was published before is `Published`, with the state that
    ///   first held it, and changes nothing: also where its packages were removed or replaced since. A watcher that dies
    ///   between a publication and its report tries again, and an operator may have taken the packages out meanwhile.
    /// - `a_reader_never_sees_half`: a reader sees the state before or the state after.
    async fn publish(&self, set: &PublishSet, names: &dyn NamePolicy) -> Result<Publication>;

    /// The state that first held the set of this [`id`](PublishSet::id); `None` where no such set was published.
    ///
    /// Default: nothing is remembered.
    async fn published(&self, id: &str) -> Result<Option<String>> {
        let _ = id;
        Ok(None)
    }

    /// What readers see now.
    async fn list(&self) -> Result<Vec<Listed>>;

    /// Takes a source package and all that was built from it out; what that was, or would be in a dry run. Empty where there is none.
    async fn remove(&self, wanted: &Removal) -> Result<Vec<Listed>>;

    /// The armoured public key that the repository is signed with.
    async fn public_key(&self) -> Result<String>;

    /// The keys that sign the repository, oldest first.
    ///
    /// Default: it tells none.
    async fn keys(&self) -> Result<Vec<SigningKey>> {
        Ok(Vec::new())
    }

    /// Makes a new key and signs with it, beside the old one for a while; the keys that sign then.
    ///
    /// - `a_roll_over_begins_once`: the same request again, after a kill or later, makes no other key. During a roll-over that another
    ///   request began it is `Invalid`, code `roll_over_under_way`; `Invalid`, code `key_imported`, where the key is not made here.
    /// - `old_and_new_readers_are_served`: the index bears both signatures until the old key stops signing.
    ///
    /// Default: `Unsupported`.
    async fn roll_key(&self, wanted: &KeyRoll) -> Result<Vec<SigningKey>> {
        let _ = wanted;
        Err(Error::new(ErrorKind::Unsupported, "this repository's key cannot be rolled over"))
    }

    /// Renews what ends by itself, although nothing is published: the key's expiry, the end of the index's validity. Called
    /// now and then; the repository decides by its own clock whether anything is due.
    ///
    /// - `tending_changes_nothing_before_it_is_due`: readers see the same state, and nothing is signed.
    /// - `an_index_is_renewed_long_before_its_end`: readers always see an index of which more than a half is still to come,
    ///   as long as this is called and works.
    /// - `an_expired_index_is_healed`: a repository that was not tended for long is valid again afterwards.
    /// - `trouble_is_told_and_not_an_error`: where something is due and fails, [`Health::trouble`] says why; an error
    ///   says that the repository's state could not even be read.
    ///
    /// Default: nothing ends.
    async fn tend(&self) -> Result<Health> {
        Ok(Health::default())
    }
}
