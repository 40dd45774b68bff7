//! Who may put uploads into a drop directory: whoever signs with a key of its keyring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pybit_core::model::Suite;
use pybit_core::upload::{Signer, UploadReader};
use pybit_core::{Error, ErrorKind, Result};

use crate::dropped::Drop;
use crate::drops::unreadable;

/// The signatures that one drop directory asks for.
#[derive(Debug, Clone)]
pub(crate) struct Signatures {
    reader: Arc<dyn UploadReader>,
    keyring: PathBuf,
    suite: Suite,
}

impl Signatures {
    /// Refuses, `Invalid`, a keyring that cannot be read.
    pub(crate) fn new(
        reader: Arc<dyn UploadReader>,
        keyring: PathBuf,
        suite: Suite,
    ) -> Result<Self> {
        reader.check_keyring(&keyring)?;
        Ok(Self { reader, keyring, suite })
    }

    /// The key that has signed a complete upload and its source for this suite, or why the upload is refused.
    ///
    /// `staged` holds the listed files as they were compared with the description.
    pub(crate) async fn signer(
        &self,
        description: &[u8],
        drop: &Drop,
        staged: &Path,
    ) -> Result<std::result::Result<Signer, String>> {
        match self.check(description, drop, staged).await {
            Ok(signer) => {
                tracing::info!(package = %drop.package, version = %drop.version, %signer, "signed");
                Ok(Ok(signer))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Invalid) => {
                Ok(Err(error.message().to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn check(&self, description: &[u8], drop: &Drop, staged: &Path) -> Result<Signer> {
        let upload = self.reader.verify(description, &self.keyring).await?;
        if upload.suite != self.suite {
            let message =
                format!("it is for {}, and this directory for {}", upload.suite, self.suite);
            return Err(Error::new(ErrorKind::Denied, message));
        }
        if upload.files != drop.files {
            return Err(Error::invalid("not all of its description is signed"));
        }
        if let Some(name) = &upload.source {
            let path = staged.join(name.as_str());
            let source = std::fs::read(&path).map_err(|e| unreadable(&path, &e))?;
            self.reader.verify_source(&upload, &source, &self.keyring).await?;
        }
        Ok(upload.signer)
    }
}
