//! The home of one attempt.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::{Path, PathBuf};

use pybit_core::{Error, ErrorKind, Result};

use super::BuildUser;

/// The names of the two directories below the attempt's own.
const NAMES: [&str; 2] = ["home", "tmp"];

/// Home and temporary directory of the commands of one attempt, empty when it begins and gone when it has ended.
///
/// In the build user's own home, the settings that one build leaves (`.sbuildrc`, `.gitconfig`, `.rpmmacros`) would be read in
/// the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    dir: PathBuf,
}

impl Home {
    /// Makes both below `dir`, where nothing of a build may run yet, without what a killed process has left there.
    pub(super) fn make(dir: &Path, user: Option<&BuildUser>) -> Result<Self> {
        let home = Self::at(dir);
        for place in home.places() {
            let made = remove(&place)
                .and_then(|()| DirBuilder::new().mode(0o700).create(&place))
                .and_then(|()| match user {
                    Some(user) => lchown(&place, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
                    None => Ok(()),
                });
            made.map_err(|e| failed("make", &place, e))?;
        }
        Ok(home)
    }

    /// The two that were made below `dir`.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The variables that name them.
    pub(super) fn vars(&self) -> [(&'static str, String); 2] {
        let [home, tmp] = self.places().map(|place| place.display().to_string());
        [("HOME", home), ("TMPDIR", tmp)]
    }

    /// The directory that both are in.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The home's path.
    pub(super) fn path(&self) -> String {
        self.places()[0].display().to_string()
    }

    /// Removes both with all that is in them, as this process's own user.
    pub(super) async fn remove(&self) -> Result<()> {
        for place in self.places() {
            let dir = place.clone();
            let removed = tokio::task::spawn_blocking(move || remove(&dir)).await;
            let removed = removed.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            removed.map_err(|e| failed("remove", &place, e))?;
        }
        Ok(())
    }

    fn places(&self) -> [PathBuf; 2] {
        NAMES.map(|name| self.dir.join(name))
    }
}

fn remove(place: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn failed(what: &str, place: &Path, e: std::io::Error) -> Error {
    let message = format!("cannot {what} {}: {e}", place.display());
    Error::new(ErrorKind::Unavailable, message).with_code("home_failed").with_source(e)
}
