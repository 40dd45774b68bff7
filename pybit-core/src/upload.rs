//! Signed uploads: what a maintainer's tool sends, and who has signed it.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{FileName, FileSpec, FormatName, PackageName, Suite, Version};

/// The primary key that made a signature: its fingerprint, in capital hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer(pub String);

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the description of an upload says, once its signature was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUpload {
    /// Whose signature it is.
    pub signer: Signer,
    /// The source package.
    pub package: PackageName,
    /// The upload's version.
    pub version: Version,
    /// The suite that it is meant for.
    pub suite: Suite,
    /// Every file that belongs to it, without the description itself.
    pub files: Vec<FileSpec>,
    /// The source description among them.
    pub source: Option<FileName>,
    /// The built packages among them, and what belongs to those.
    pub built: Vec<FileName>,
    /// SHA-256 of the signed text, 64 hexadecimal digits: the same for each copy, however its signature is written.
    pub digest: String,
}

/// Reads and verifies the signed uploads of one format; every byte is foreign.
///
/// A keyring is a file of OpenPGP keys, each of which may sign. What is not signed fails, `Denied`, code `unsigned`; what
/// is signed by a key that is not in the keyring, code `unknown_key`; a signature that is wrong, expired, or made by an
/// expired or revoked key, code `bad_signature`. Each sentence names the key.
#[async_trait]
pub trait UploadReader: Send + Sync + fmt::Debug {
    /// The format of these uploads' packages: a suite may have others, too.
    fn format(&self) -> &FormatName;

    /// Refuses, `Invalid`, a keyring that cannot be read: said when the server starts.
    fn check_keyring(&self, keyring: &Path) -> Result<()>;

    /// Whether a file of this name describes an upload: it is sent last.
    fn is_description(&self, name: &FileName) -> bool;

    /// The suite that an upload claims to be meant for: it chooses the keyring, and nothing else.
    fn claimed_suite(&self, description: &[u8]) -> Result<Suite>;

    /// What a description says, signed by a key of `keyring`.
    async fn verify(&self, description: &[u8], keyring: &Path) -> Result<SignedUpload>;

    /// Who has signed the source description of `upload`; it must be of the same package and version.
    async fn verify_source(
        &self,
        upload: &SignedUpload,
        source: &[u8],
        keyring: &Path,
    ) -> Result<Signer>;
}
