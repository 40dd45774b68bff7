//! Moving what is refused out of the way, in a directory that others write to.
//!
//! Whoever uploads can put links into a drop directory. So nothing here follows one: directories are entered one by one
//! and held open, and a file is read only where it is one.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use pybit_core::Result;

use crate::drops::unreadable;

/// Where refused uploads go, in the drop directory.
pub(crate) const REJECTED: &str = "rejected";
/// Why one was refused, beside its files.
const REASON: &str = "reason.txt";

/// Opens a regular file: neither a link, nor a pipe that would never end.
pub(crate) fn open_file(path: &Path) -> std::io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(std::io::Error::other("it is not a regular file"))
}

/// Moves `files` of the drop directory `dir` to `rejected/NAME/`, with the reason beside them.
pub(crate) fn put_away(dir: &Path, name: &str, files: &[String], reason: &str) -> Result<()> {
    let to = dir.join(REJECTED).join(name);
    let fail = |e: Errno| unreadable(&to, &e.into());
    let from = open(dir, DIRECTORY, Mode::empty()).map_err(|e| unreadable(dir, &e.into()))?;
    let rejected = enter(&from, REJECTED).map_err(fail)?;
    let place = enter(&rejected, name).map_err(fail)?;
    write(&place, reason).map_err(|e| unreadable(&to.join(REASON), &e))?;
    for file in files {
        match renameat(&from, file.as_str(), &place, file.as_str()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(unreadable(&dir.join(file), &e.into())),
        }
    }
    Ok(())
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// Makes a directory where it is missing, and enters it; a link to one is refused.
fn enter(dir: &OwnedFd, name: &str) -> nix::Result<OwnedFd> {
    match mkdirat(dir, name, Mode::from_bits_truncate(0o777)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e),
    }
    openat(dir, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
}

/// Writes the reason as a new file: what somebody has put there goes.
fn write(place: &OwnedFd, reason: &str) -> std::io::Result<()> {
    match unlinkat(place, REASON, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let file = openat(place, REASON, flags, Mode::from_bits_truncate(0o666))?;
    File::from(file).write_all(format!("{reason}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const NAME: &str = "x_1_all.changes";

    fn directories() -> (tempfile::TempDir, tempfile::TempDir) {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(dir.path().join(NAME), "described").unwrap();
        (dir, elsewhere)
    }

    fn put(dir: &Path) -> Result<()> {
        put_away(dir, NAME, &["not-there.deb".to_owned(), NAME.to_owned()], "because")
    }

    #[test]
    fn what_is_refused_lies_beside_the_reason() {
        let (dir, _) = directories();
        put(dir.path()).unwrap();
        fs::write(dir.path().join(NAME), "again").unwrap();
        put(dir.path()).unwrap();
        let place = dir.path().join(REJECTED).join(NAME);
        assert_eq!(fs::read_to_string(place.join(NAME)).unwrap(), "again");
        assert_eq!(fs::read_to_string(place.join(REASON)).unwrap(), "because\n");
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn a_link_of_an_uploader_leads_nowhere() {
        let (dir, elsewhere) = directories();
        symlink(elsewhere.path(), dir.path().join(REJECTED)).unwrap();
        put(dir.path()).unwrap_err();

        let (dir, _) = directories();
        fs::create_dir(dir.path().join(REJECTED)).unwrap();
        symlink(elsewhere.path(), dir.path().join(REJECTED).join(NAME)).unwrap();
        put(dir.path()).unwrap_err();
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);

        let (dir, _) = directories();
        let place = dir.path().join(REJECTED).join(NAME);
        let secret = elsewhere.path().join("secret");
        fs::write(&secret, "whole").unwrap();
        fs::create_dir_all(&place).unwrap();
        symlink(&secret, place.join(REASON)).unwrap();
        put(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "whole");
        assert_eq!(fs::read_to_string(place.join(REASON)).unwrap(), "because\n");
    }

    #[test]
    fn only_files_are_opened() {
        let (dir, _) = directories();
        assert!(open_file(&dir.path().join(NAME)).is_ok());
        let link = dir.path().join("link");
        symlink(dir.path().join(NAME), &link).unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
        for other in [link.as_path(), &pipe, dir.path()] {
            assert!(open_file(other).is_err(), "{}", other.display());
        }
    }
}
