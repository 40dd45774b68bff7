//! `[web.dput]` in the configuration.

use std::path::PathBuf;

use pybit_core::model::{Dist, Grant, NameGrant, NamePattern, Role, Suite};
use pybit_core::upload::Signer;
use pybit_core::{Error, Result};
use serde::Deserialize;

/// What `dput` and `dput-ng` may send to `/dput/`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DputConfig {
    /// The suites that take uploads; without any, the address takes nothing.
    pub suites: Vec<DputSuite>,
    /// Bytes that one token may have lying here before their `.changes`.
    pub most_bytes: u64,
    /// Files that one token may have lying here before their `.changes`.
    pub most_files: usize,
    /// Files whose `.changes` never came are removed after this long, in seconds.
    pub expire_secs: u64,
}

impl Default for DputConfig {
    fn default() -> Self {
        Self { suites: Vec::new(), most_bytes: 4 << 30, most_files: 200, expire_secs: 24 * 3600 }
    }
}

/// A suite that takes uploads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DputSuite {
    /// The suite, as `Distribution` of a `.changes` names it.
    pub suite: Suite,
    /// Its distribution, where suites of several have this name.
    #[serde(default)]
    pub dist: Option<Dist>,
    /// The OpenPGP keys that may upload to it, as `gpg --export` writes them.
    pub keyring: PathBuf,
    /// The names of the base distribution that keys may upload sources under.
    #[serde(default)]
    pub names: Vec<KeyNames>,
}

/// The names of the base distribution that one OpenPGP key may upload sources under, in the suite that says so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyNames {
    /// The key's fingerprint, hexadecimal.
    pub key: String,
    /// The names of the sources; `*` stands for any text.
    pub sources: NamePattern,
}

impl DputSuite {
    /// The permissions of the key that has signed an upload.
    pub(super) fn grant(&self, signer: &Signer) -> Grant {
        let is_signer = |names: &&KeyNames| names.key.eq_ignore_ascii_case(&signer.0);
        let grant = |names: &KeyNames| NameGrant {
            sources: names.sources.clone(),
            suites: NamePattern::any(),
        };
        let names = self.names.iter().filter(is_signer).map(grant).collect();
        Grant { names, ..Grant::of(Role::Submit) }
    }
}

/// One suite has one keyring, and each key in `names` is a whole fingerprint.
pub(super) fn check(config: &DputConfig) -> Result<()> {
    for (place, suite) in config.suites.iter().enumerate() {
        if config.suites[..place].iter().any(|s| s.suite == suite.suite) {
            let message = format!("web.dput.suites names {} twice", suite.suite);
            return Err(Error::invalid(message).with_code("invalid_configuration"));
        }
        let is_fingerprint =
            |key: &str| key.len() >= 40 && key.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(wrong) = suite.names.iter().find(|n| !is_fingerprint(&n.key)) {
            let message = format!(
                "web.dput.suites, {}: names: \"{}\" is not the fingerprint of a key, 40 or more hexadecimal digits",
                suite.suite, wrong.key
            );
            return Err(Error::invalid(message).with_code("invalid_configuration"));
        }
    }
    Ok(())
}
