//! The key of a repository: made or found, and shown to readers.

use pybit_core::{Error, Result};

use super::config::KeyChoice;
use super::files;
use super::layout::Layout;
use super::signing::Gpg;
use super::tool::Tool;

/// Which key signs a repository.
#[derive(Debug)]
pub(super) struct RepositoryKey<'a> {
    pub(super) tool: &'a dyn Tool,
    pub(super) layout: &'a Layout,
    pub(super) choice: &'a KeyChoice,
    /// The user id of a key that is made.
    pub(super) owner: String,
    /// The algorithm of a key that is made, as gpg names it.
    pub(super) algorithm: &'static str,
}

impl<'a> RepositoryKey<'a> {
    /// The armoured public key, its fingerprint, and gpg ready to sign; the caller holds the repository's turn.
    pub(super) async fn open(&self) -> Result<(String, String, Gpg<'a>)> {
        let gpg = Gpg::open(self.tool, &self.layout.gnupg())?;
        let public = self.layout.public_key();
        let given = public.exists().then_some(public.as_path());
        let opened = async {
            let fingerprint = gpg.key(self.choice, given, &self.owner, self.algorithm).await?;
            Ok::<_, Error>((gpg.export(&fingerprint).await?, fingerprint))
        };
        match opened.await {
            Ok((key, fingerprint)) => Ok((key, fingerprint, gpg)),
            Err(e) => {
                gpg.close()?;
                Err(e)
            }
        }
    }

    /// Makes `public.asc` the key that signs.
    pub(super) async fn prepare(&self) -> Result<String> {
        let (key, _, gpg) = self.open().await?;
        gpg.close()?;
        let public = self.layout.public_key();
        if files::text(&public)?.as_deref() != Some(&key) {
            let draft = public.with_extension("new");
            files::write(&draft, &key)?;
            files::flush(&draft)?;
            files::rename(&draft, &public)?;
        }
        Ok(key)
    }
}
