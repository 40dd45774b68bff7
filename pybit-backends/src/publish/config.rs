//! What a repository is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pybit_core::model::{Arch, Dist, Suite};
use pybit_core::{Error, Result};

use super::identity::{self, COMPONENTS, Identity, check_components};

/// Which key signs a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChoice {
    /// The key in `gnupg/` below the root; made there when there is none: Ed25519, no passphrase.
    Generate,
    /// The key with this fingerprint, which somebody has imported into `gnupg/` below the root.
    Fingerprint(String),
}

impl KeyChoice {
    /// Refuses what is no fingerprint.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Fingerprint(f) if f.len() != 40 || !f.bytes().all(|b| b.is_ascii_hexdigit()) => {
                refuse("a signing key is named by its 40 hexadecimal digits")
            }
            _ => Ok(()),
        }
    }
}

/// The shortest time that a state is valid.
const SHORTEST: Duration = Duration::from_mins(1);

/// One apt repository of one suite.
#[derive(Debug, Clone)]
pub struct RepreproConfig {
    /// Where it lies: empty at first, and the repository's alone ever after.
    pub root: PathBuf,
    /// The distribution; in the user id of a key that is made.
    pub dist: Dist,
    /// `Origin`, `Label` and what else readers choose by.
    pub identity: Identity,
    /// `Components` of its `Release`; a package whose section names none of them is in the first.
    pub components: Vec<String>,
    /// `Suite` of its `Release`.
    pub suite: Suite,
    /// `Codename` of its `Release` and the directory below `dists/`; where `suite` differs, it is a link to it.
    pub codename: Suite,
    /// The architectures it serves; `source` is served always and needs no mention.
    pub arches: Vec<Arch>,
    /// The key that signs it.
    pub key: KeyChoice,
    /// Snapshots to keep, the current one among them; at least 1.
    pub keep_snapshots: usize,
    /// How long a file that the current state no longer names stays fetchable at least, for readers that have read an
    /// older index; besides, it stays for `keep_snapshots` states.
    pub keep_files: Duration,
    /// After which time readers shall distrust the state (`Valid-Until`); never, where absent. The state is renewed when a
    /// third of it is over ([`tend`](pybit_core::publish::Publisher::tend)).
    pub valid_until: Option<Duration>,
    /// The validity of a key that is made or renewed. `None`: without end.
    pub key_life: Option<Duration>,
    /// The name of the package that brings the keys to readers; none is made where absent.
    pub keyring: Option<String>,
}

impl RepreproConfig {
    /// A repository at `root` with the usual choices: own key, 3 snapshots, replaced files kept for an hour.
    pub fn new(root: impl Into<PathBuf>, dist: Dist, suite: Suite, arches: Vec<Arch>) -> Self {
        Self {
            root: root.into(),
            dist,
            identity: Identity::new("pybit", suite.as_str()),
            components: COMPONENTS.map(str::to_owned).to_vec(),
            codename: suite.clone(),
            suite,
            arches,
            key: KeyChoice::Generate,
            keep_snapshots: 3,
            keep_files: Duration::from_hours(1),
            valid_until: None,
            key_life: None,
            keyring: None,
        }
    }

    /// Refuses what cannot be a repository, and makes the root absolute.
    pub(super) fn checked(mut self) -> Result<Self> {
        self.arches = checked_arches(self.arches, &["all", "any"])?;
        if self.keep_snapshots == 0 {
            return refuse("a repository must keep at least 1 snapshot");
        }
        self.identity.check()?;
        check_components(&self.components)?;
        if self.valid_until.is_some_and(|valid| valid < SHORTEST) {
            return refuse("a state of a repository must be valid for at least 60 seconds");
        }
        self.key.check()?;
        self.root = checked_root(&self.root)?;
        Ok(self)
    }

    /// The component of a section.
    pub(super) fn component(&self, section: &str) -> &str {
        identity::component(&self.components, section)
    }

    /// reprepro's `conf/distributions` (`reprepro(1)`); it signs nothing, because pybit adds to the index first.
    pub(super) fn distributions(&self) -> String {
        let arches: Vec<_> = self.arches.iter().map(Arch::as_str).collect();
        format!(
            "{names}Suite: {suite}\nCodename: {codename}\n{choices}Components: {components}\nUDebComponents: {components}\n\
             Architectures: {arches} source\nDebIndices: Packages Release . .gz\nUDebIndices: Packages . .gz\n\
             DscIndices: Sources Release . .gz\n",
            names = self.identity.names(),
            suite = self.suite,
            codename = self.codename,
            choices = self.identity.choices(),
            components = self.components.join(" "),
            arches = arches.join(" "),
        )
    }
}

pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::invalid(why).with_code("invalid_repository"))
}

/// The architectures that a repository serves, each once; refuses the words that stand for several.
pub(super) fn checked_arches(mut arches: Vec<Arch>, words: &[&str]) -> Result<Vec<Arch>> {
    arches.retain(|a| !a.is_source());
    arches.sort();
    arches.dedup();
    if arches.is_empty() {
        return refuse("a repository needs at least one architecture besides \"source\"");
    }
    if let Some(word) = arches.iter().find(|a| words.contains(&a.as_str())) {
        return refuse(format!("\"{word}\" is not an architecture that a repository serves"));
    }
    Ok(arches)
}

pub(super) fn checked_root(root: &Path) -> Result<PathBuf> {
    std::path::absolute(root).map_err(|e| super::error::io("find", root, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arches: &[&str]) -> RepreproConfig {
        let arches = arches.iter().map(|a| a.parse().unwrap()).collect();
        RepreproConfig::new("r", "Debian".parse().unwrap(), "bookworm".parse().unwrap(), arches)
    }

    #[test]
    fn source_is_served_without_being_named_twice() {
        let config = config(&["source", "arm64", "amd64", "arm64"]).checked().unwrap();
        assert!(config.distributions().contains("\nArchitectures: amd64 arm64 source\n"));
        assert!(config.root.is_absolute());
    }

    #[test]
    fn what_cannot_be_a_repository_is_refused() {
        for arches in [&[][..], &["source"], &["amd64", "all"]] {
            assert_eq!(config(arches).checked().unwrap_err().code(), "invalid_repository");
        }
        let mut keyless = config(&["amd64"]);
        keyless.key = KeyChoice::Fingerprint("--version".into());
        assert_eq!(keyless.checked().unwrap_err().code(), "invalid_repository");
    }
}
