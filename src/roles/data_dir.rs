//! The directory that holds a whole farm.

use std::path::{Path, PathBuf};

use pybit_core::{Error, ErrorKind, Result};

/// Where things lie below the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory, entered by everybody and listed by its owner alone: builds run as another user below it, and
    /// secrets lie in files that only the owner can read.
    pub fn open(dir: &Path) -> Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let fail = |e: std::io::Error| {
            let message = format!("cannot make the data directory {}: {e}", dir.display());
            Error::new(ErrorKind::Unavailable, message)
        };
        let absolute = std::path::absolute(dir).map_err(fail)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&absolute).map_err(fail)?;
        std::fs::set_permissions(&absolute, std::fs::Permissions::from_mode(0o711))
            .map_err(fail)?;
        Ok(Self(absolute))
    }

    /// The directory as it is, made by nobody.
    pub fn at(dir: &Path) -> Result<Self> {
        std::path::absolute(dir).map(Self).map_err(|e| {
            Error::invalid(format!("the data directory {} cannot be named: {e}", dir.display()))
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database's URL.
    pub fn storage_url(&self) -> String {
        format!("sqlite://{}", self.0.join("farm.db").display())
    }

    /// Where logs and files are kept.
    pub fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    /// Where the repositories lie, each in a directory of its name.
    pub fn repositories(&self) -> PathBuf {
        self.0.join("repositories")
    }

    /// The file with the administrator's token.
    pub fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    /// The file with the token of a role of `pybit up`.
    pub fn role_token(&self, role: &str) -> PathBuf {
        self.0.join("tokens").join(role)
    }

    /// The work directory of a role.
    pub fn work(&self, role: &str) -> PathBuf {
        self.0.join(role)
    }

    /// The directory of the indices of the base distributions' names.
    pub fn names(&self) -> PathBuf {
        self.0.join("names")
    }

    /// The roots that isolated builds start from.
    pub fn roots(&self) -> PathBuf {
        self.0.join("roots")
    }

    /// Tells the command where the server listens.
    pub fn write_url(&self, url: &str) -> Result<()> {
        let file = self.0.join("url");
        std::fs::write(&file, format!("{url}\n")).map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("cannot write {}: {e}", file.display()))
        })
    }
}
