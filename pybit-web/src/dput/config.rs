//! `[web.dput]` in the configuration.

use std::path::PathBuf;

use pybit_core::model::{Dist, Suite};
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
}

/// One suite has one keyring.
pub(super) fn check(config: &DputConfig) -> Result<()> {
    for (place, suite) in config.suites.iter().enumerate() {
        if config.suites[..place].iter().any(|s| s.suite == suite.suite) {
            let message = format!("web.dput.suites names {} twice", suite.suite);
            return Err(Error::invalid(message).with_code("invalid_configuration"));
        }
    }
    Ok(())
}
