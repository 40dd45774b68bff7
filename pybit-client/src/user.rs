//! The user that builds run as.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Gid, Uid, User, chown, geteuid};
use pybit_core::{Error, Result};

use crate::journal::failed;

/// A user of this machine that owns what builds write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BuildUser {
    uid: Uid,
    gid: Gid,
}

impl BuildUser {
    /// The user of this name, where this process may give files to it: a process that is not root builds as itself.
    pub(crate) fn find(name: Option<&str>) -> Result<Option<Self>> {
        let Some(name) = name.filter(|_| geteuid().is_root()) else { return Ok(None) };
        let user = User::from_name(name)
            .map_err(|e| Error::internal("the list of users cannot be read").with_source(e))?;
        let user = user.ok_or_else(|| {
            Error::invalid(format!(
                "there is no user \"{name}\"; make it with `useradd --create-home --shell /usr/sbin/nologin {name}`"
            ))
            .with_code("invalid_configuration")
        })?;
        Ok(Some(Self { uid: user.uid, gid: user.gid }))
    }
}

/// Makes a directory that builds can read, and that `owner` can write to, whatever the umask.
pub(crate) fn make_dir(path: &Path, owner: Option<BuildUser>) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .map_err(|e| failed("make", path, e))?;
    match owner {
        Some(user) => chown(path, Some(user.uid), Some(user.gid))
            .map_err(|e| failed("give away", path, e.into())),
        None => Ok(()),
    }
}
