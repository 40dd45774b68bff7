//! The watcher's configuration: the `[watch]` table of `pybit.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pybit_client::Secret;
use pybit_client::config::optional_address;
use pybit_core::model::{Arch, Dist, FormatName, NamePattern, PackageName, RepositoryName, Suite};
use pybit_core::upload::Signer;
use pybit_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::Publishers;
use crate::identity;

/// How a watcher is set up. `work_dir` and `repositories` have no default: they are empty where left out, for a program that
/// fills them itself, and [`check`](Self::check) refuses that.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchConfig {
    /// The farm's address; left out, only drop directories are watched.
    #[serde(deserialize_with = "optional_address")]
    pub url: Option<String>,
    /// The access token, of role `publish`; better kept in a file.
    pub token: Option<Secret>,
    /// A file that holds the access token, readable by nobody else.
    pub token_file: Option<PathBuf>,
    /// A file that holds another one, of role `submit`, for drop directories whose source-only uploads are built.
    pub submit_token_file: Option<PathBuf>,
    /// The directory for files on their way into a repository.
    pub work_dir: PathBuf,
    /// The farm's name: `Origin` of its apt repositories, and the first word of their `Label`. Default: `pybit`.
    pub farm: Option<String>,
    /// The interval, in seconds, at which keys and validity of the repositories are renewed if they are due. Default: an hour.
    pub tend_secs: Option<u64>,
    /// The repositories.
    pub repositories: Vec<RepositoryConfig>,
    /// Directories that people and other tools put complete uploads into.
    pub drops: Vec<DropConfig>,
}

/// One repository and what goes into it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryConfig {
    /// Its name, the one that the farm's catalogue knows.
    pub name: RepositoryName,
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// The architectures that it holds, besides the architecture-independent packages.
    pub arches: Vec<Arch>,
    /// The directory that it lives in; made on first use, with a signing key.
    pub root: PathBuf,
    /// The address that users and builds install from.
    pub public_url: String,
    /// Published states that are kept, the newest among them.
    #[serde(default = "three")]
    pub keep_snapshots: usize,
    /// `Origin` of an apt repository. Default: the farm's name. A distribution's name is taken from here only.
    #[serde(default)]
    pub origin: Option<String>,
    /// `Label` of an apt repository. Default: the farm's name and the repository's.
    #[serde(default)]
    pub label: Option<String>,
    /// `Description` of an apt repository; none where left out.
    #[serde(default)]
    pub description: Option<String>,
    /// `NotAutomatic` of an apt repository: apt installs its packages on request only.
    #[serde(default)]
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`: what was installed on request is upgraded. Only with `not_automatic`.
    #[serde(default)]
    pub but_automatic_upgrades: bool,
    /// The components of an apt repository. Default: main, contrib, non-free, non-free-firmware.
    #[serde(default)]
    pub components: Option<Vec<String>>,
    /// For how many days readers believe an index of an apt repository (`Valid-Until`); 0: for ever. It is renewed after a
    /// third of them.
    #[serde(default = "two_weeks")]
    pub valid_days: u32,
    /// For how many days a key that the watcher makes, or renews, is valid; 0: without end. Default: two years; without end
    /// for rpm, which takes no renewed key over by itself.
    #[serde(default)]
    pub key_days: Option<u32>,
    /// The fingerprint of a key that was imported into `gnupg/` below `root`. Default: the watcher makes one.
    #[serde(default)]
    pub key: Option<String>,
}

/// Names of the base distribution's sources that uploads of ready binaries may bear.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropNames {
    /// The fingerprint of the OpenPGP key that may. Default: every uploader.
    #[serde(default)]
    pub key: Option<String>,
    /// The names of the sources; `*` stands for any text.
    pub sources: NamePattern,
}

impl DropNames {
    /// Whether the signer of an upload may bring binaries of this source.
    pub(crate) fn cover(&self, source: &PackageName, signer: Option<&Signer>) -> bool {
        let is_signer = |key: &String| signer.is_some_and(|s| s.0.eq_ignore_ascii_case(key));
        self.key.as_ref().is_none_or(is_signer) && self.sources.matches(source.as_str())
    }
}

/// A drop directory and the repository that its uploads go to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropConfig {
    /// The directory; refused uploads go to `rejected/` in it.
    pub dir: PathBuf,
    /// The repository.
    pub repository: RepositoryName,
    /// The OpenPGP keys that may upload, as `gpg --export` writes them: then each `.changes` and `.dsc` must be signed by one
    /// of them, for the repository's suite. Without it, whoever can write into the directory may upload.
    #[serde(default)]
    pub keyring: Option<PathBuf>,
    /// The names of the base distribution's sources that ready binaries may come from. Default: none.
    #[serde(default)]
    pub names: Vec<DropNames>,
    /// Whether an upload of source alone is submitted to the farm, which builds it, rather than published as it is. Left out:
    /// where there is a keyring, so that uploaders are known, and the watcher has a token to submit with.
    #[serde(default)]
    pub build: Option<bool>,
    /// A whole upload whose bytes differ from its description is refused after it has not changed for so many seconds.
    #[serde(default = "a_minute")]
    pub refuse_after_secs: u64,
}

fn two_weeks() -> u32 {
    14
}

fn three() -> usize {
    3
}

fn a_minute() -> u64 {
    60
}

impl WatchConfig {
    /// The access token; fails where there is none.
    pub fn secret(&self) -> Result<Secret> {
        Secret::configured(self.token.as_ref(), self.token_file.as_deref(), "watch")
    }

    /// The farm's name.
    pub fn farm(&self) -> &str {
        self.farm.as_deref().unwrap_or("pybit")
    }

    /// Whether source-only uploads of a drop directory are built.
    pub(crate) fn builds(&self, drop: &DropConfig) -> bool {
        let can = self.url.is_some() && self.submit_token_file.is_some();
        drop.build.unwrap_or(can && drop.keyring.is_some())
    }

    /// The keys that have no default and are empty.
    pub fn missing(&self) -> Vec<&'static str> {
        let empty = [
            ("watch.work_dir", self.work_dir.as_os_str().is_empty()),
            ("watch.repositories", self.repositories.is_empty()),
        ];
        empty.into_iter().filter_map(|(key, empty)| empty.then_some(key)).collect()
    }

    /// Checks what the types cannot say.
    pub fn check(&self, publishers: &Publishers) -> Result<()> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(refuse(format!("missing in the configuration: {}", missing.join(", "))));
        }
        identity::check_farm(self.farm())?;
        let mut names = BTreeSet::new();
        for repository in &self.repositories {
            repository.identity(self.farm())?;
            if !names.insert(&repository.name) {
                return Err(refuse(format!("watch.repositories names {} twice", repository.name)));
            }
            if !publishers.contains_key(&repository.name) {
                return Err(refuse(format!("there is no publisher for {}", repository.name)));
            }
        }
        let mut dirs = BTreeSet::new();
        for drop in &self.drops {
            if !names.contains(&drop.repository) {
                let message = format!(
                    "watch.drops names the repository {}, which is not in watch.repositories",
                    drop.repository
                );
                return Err(refuse(message));
            }
            if self.builds(drop) && (self.url.is_none() || self.submit_token_file.is_none()) {
                let message = format!(
                    "watch.drops builds what comes to {}, and watch.url or watch.submit_token_file is missing",
                    drop.dir.display()
                );
                return Err(refuse(message));
            }
            if !dirs.insert(&drop.dir) {
                return Err(refuse(format!("watch.drops names {} twice", drop.dir.display())));
            }
        }
        Ok(())
    }
}

pub(crate) fn refuse(message: String) -> Error {
    Error::invalid(message).with_code("invalid_configuration")
}

/// A directory that cannot be made, in words.
pub(crate) fn cannot_make(dir: &Path, error: &std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot make the directory {}: {error}", dir.display()),
    )
}
