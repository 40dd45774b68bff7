//! Files that hold secrets: only the server's own user may read them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Why a file with a secret was not read.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Others can read it: what it holds is a secret no more.
    Open,
    /// It cannot be read.
    Unreadable(io::Error),
}

/// The text of a file that nobody else can read, at most `most` bytes of it. Mode and text are of the same file, whatever is
/// renamed meanwhile.
pub(crate) fn read(path: &Path, most: u64) -> Result<String, Refused> {
    let file = File::open(path).map_err(Refused::Unreadable)?;
    let mode = file.metadata().map_err(Refused::Unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Refused::Open);
    }
    let mut text = String::new();
    file.take(most).read_to_string(&mut text).map_err(Refused::Unreadable)?;
    Ok(text)
}
