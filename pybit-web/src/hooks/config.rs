//! `[[web.hooks]]` in the configuration.

use std::path::PathBuf;

use pybit_core::model::{NameGrant, PushRule};
use pybit_core::{Error, Result};
use serde::Deserialize;

use crate::private_file::{self, Refused};

/// Who sends deliveries; each signs them in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// GitHub: `X-Hub-Signature-256`.
    Github,
    /// GitLab: `X-Gitlab-Token`.
    Gitlab,
    /// Gitea: `X-Gitea-Signature`.
    Gitea,
    /// Forgejo: `X-Forgejo-Signature`, or Gitea's header.
    Forgejo,
}

/// A hook at `POST /hooks/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// Its name: letters, digits and `-`.
    pub name: String,
    /// Who sends.
    pub service: Service,
    /// The file with the secret that the service was given too; nobody but the server's user may read it.
    pub secret_file: PathBuf,
    /// What is built; each rule that matches a push is a submission. The catalogue's rules for this hook come besides.
    #[serde(default)]
    pub rules: Vec<PushRule>,
    /// The names of the base distribution that its pushes may build sources under.
    #[serde(default)]
    pub names: Vec<NameGrant>,
}

/// A secret that could be guessed is none.
const SHORTEST: usize = 16;
/// Bytes of a secret's file that are read.
const MOST: u64 = 4096;

impl HookConfig {
    pub(super) fn secret(&self) -> Result<Vec<u8>> {
        let file = self.secret_file.display();
        let text = private_file::read(&self.secret_file, MOST).map_err(|refused| {
            let why = match refused {
                Refused::Open => format!("can be read by others; run chmod 600 {file}"),
                Refused::Unreadable(e) => format!("cannot be read: {e}"),
            };
            refuse(&self.name, &format!("its secret {file} {why}"))
        })?;
        let secret = text.trim().as_bytes().to_vec();
        if secret.len() < SHORTEST {
            let why = format!("its secret must have {SHORTEST} characters or more");
            return Err(refuse(&self.name, &why));
        }
        Ok(secret)
    }
}

/// Names stand in addresses, and one is one hook.
pub(super) fn check_names(configs: &[HookConfig]) -> Result<()> {
    for (place, config) in configs.iter().enumerate() {
        let name = &config.name;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(refuse(name, "its name must be 1 to 64 letters, digits and -"));
        }
        if configs[..place].iter().any(|c| c.name == *name) {
            return Err(refuse(name, "it is there twice"));
        }
    }
    Ok(())
}

pub(super) fn refuse(hook: &str, why: &str) -> Error {
    Error::invalid(format!("the hook \"{hook}\" is refused: {why}"))
        .with_code("invalid_configuration")
}
