//! The user namespaces that roots live in.

use std::path::Path;

use pybit_core::{Error, ErrorKind, Result};

use super::super::{BuildUser, SubIds};
use super::disk;
use crate::exec::{Cmd, Exec};

/// The id inside that is the build user outside: what it writes to the work directory belongs to the build user.
pub(super) const INSIDE: u32 = 1000;

/// Which ids a root's users have on the machine: its root is the first of the build user's subordinate ids, and
/// [`INSIDE`] is the build user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namespace {
    uids: SubIds,
    gids: SubIds,
}

impl Namespace {
    pub(super) fn of(user: &BuildUser) -> Result<Self> {
        let unable = |e: Error| {
            Error::new(ErrorKind::Unsupported, e.message()).with_code(e.code()).with_source(e)
        };
        let uids = user.sub_uids().map_err(unable)?;
        Ok(Self { uids, gids: user.sub_gids().map_err(unable)? })
    }

    /// `argv` as root of a new user namespace, which is nobody outside of it; `more` are further options of `unshare(1)`.
    pub(super) fn as_root(&self, more: &[&str], argv: &[String]) -> Vec<String> {
        let map = |ids: SubIds| format!("{},0,65536", ids.first);
        let mut all = vec![
            "unshare".to_owned(),
            "--user".to_owned(),
            format!("--map-user={INSIDE}"),
            format!("--map-group={INSIDE}"),
            format!("--map-users={}", map(self.uids)),
            format!("--map-groups={}", map(self.gids)),
            "--setuid=0".to_owned(),
            "--setgid=0".to_owned(),
        ];
        all.extend(more.iter().map(|&o| o.to_owned()));
        all.push("--".to_owned());
        all.extend_from_slice(argv);
        all
    }

    /// Removes a directory whatever ids its files have.
    pub(super) async fn remove(&self, exec: &Exec, dir: &Path) -> Result<()> {
        if nix::unistd::geteuid().is_root() {
            remove_as_root(dir).await?;
        } else if dir.exists() {
            // The directory itself may stand in one of root's, which only this process's own user can write to.
            let argv = ["rm", "-rf", "--one-file-system", "--"].map(str::to_owned);
            let argv = [&argv[..], &[dir.display().to_string()]].concat();
            exec.output(&Cmd::new(self.as_root(&[], &argv), Path::new("/")), 64 << 10).await?;
            remove_as_root(dir).await?;
        }
        if dir.exists() {
            let message = format!("{} cannot be removed", dir.display());
            return Err(Error::new(ErrorKind::Unavailable, message).with_code("files_left"));
        }
        Ok(())
    }
}

async fn remove_as_root(dir: &Path) -> Result<()> {
    match tokio::fs::remove_dir_all(dir).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk("remove", dir, e)),
        _ => Ok(()),
    }
}
