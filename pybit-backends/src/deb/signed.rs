//! Debian's signed uploads: a `.changes` and a `.dsc`, each with an inline signature.

use std::path::Path;

use async_trait::async_trait;
use pybit_core::model::{FileName, FormatName, Suite};
use pybit_core::upload::{SignedUpload, Signer, UploadReader};
use pybit_core::{Error, Result};
use sha2::{Digest, Sha256};

use super::changes::read_changes;
use super::{dsc, signature};
use crate::exec::Exec;

/// Verifies with `gpgv`, each run under a supervisor.
#[derive(Debug, Clone)]
pub struct DebUploads {
    exec: Exec,
    format: FormatName,
}

impl DebUploads {
    /// Starts `gpgv` by `exec`, whose user must be able to read the keyrings.
    ///
    /// # Panics
    ///
    /// Never: `deb` is a valid format name.
    pub fn new(exec: Exec) -> Self {
        Self { exec, format: "deb".parse().expect("deb is a valid format name") }
    }
}

#[async_trait]
impl UploadReader for DebUploads {
    fn format(&self) -> &FormatName {
        &self.format
    }

    fn check_keyring(&self, keyring: &Path) -> Result<()> {
        signature::check_keyring(keyring)
    }

    fn is_description(&self, name: &FileName) -> bool {
        has_ending(name, &["changes"])
    }

    fn claimed_suite(&self, description: &[u8]) -> Result<Suite> {
        Ok(read_changes(description)?.distribution)
    }

    async fn verify(&self, description: &[u8], keyring: &Path) -> Result<SignedUpload> {
        let signed = signature::verify(&self.exec, "the .changes", description, keyring).await?;
        let changes = read_changes(&signed.text)?;
        // The file must say the same to readers that look at it as a whole.
        if read_changes(description)? != changes {
            return Err(Error::invalid("the .changes is refused: not all of it is signed")
                .with_code("invalid_changes"));
        }
        let files: Vec<_> = changes.files.into_iter().map(|f| f.spec).collect();
        let with = |endings: &[&str]| -> Vec<FileName> {
            let names = files.iter().map(|f| &f.name);
            names.filter(|n| has_ending(n, endings)).cloned().collect()
        };
        let (mut sources, built) = (with(&["dsc"]), with(&["deb", "udeb", "ddeb"]));
        if sources.len() > 1 {
            return Err(Error::invalid("the .changes is refused: it lists more than one .dsc")
                .with_code("invalid_changes"));
        }
        Ok(SignedUpload {
            signer: signed.signer,
            package: changes.source,
            version: changes.version,
            suite: changes.distribution,
            source: sources.pop(),
            built,
            files,
            digest: hex::encode(Sha256::digest(&signed.text)),
        })
    }

    async fn verify_source(
        &self,
        upload: &SignedUpload,
        source: &[u8],
        keyring: &Path,
    ) -> Result<Signer> {
        let signed = signature::verify(&self.exec, "the .dsc", source, keyring).await?;
        let read = dsc::read(&signed.text)?;
        let refuse = |why: &str| {
            let message = format!("the .dsc is refused: {why}");
            Err(Error::invalid(message).with_code("invalid_dsc"))
        };
        if dsc::read(source)? != read {
            return refuse("not all of it is signed");
        }
        if read.package != upload.package || read.version != upload.version {
            return refuse("the .changes is of another package or version");
        }
        Ok(signed.signer)
    }
}

fn has_ending(name: &FileName, endings: &[&str]) -> bool {
    let ending = Path::new(name.as_str()).extension().and_then(|e| e.to_str());
    ending.is_some_and(|e| endings.contains(&e))
}
