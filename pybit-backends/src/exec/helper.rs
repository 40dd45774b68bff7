//! This program as a helper of commands that run as the build user.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use pybit_core::{Error, ErrorKind, Result};

use super::Exec;

impl Exec {
    /// The command line of the supervisor's own program, with a verb and its arguments. Where the build user cannot reach
    /// the program, as in somebody's home directory, a copy in `dir` is used.
    pub(crate) fn helper(&self, dir: &Path, words: Vec<String>) -> Result<Vec<String>> {
        let supervisor = self.supervisor();
        let mut program = supervisor.program.clone();
        if closed_dir(&program).is_some() {
            program = dir.join("pybit");
            copy(&supervisor.program, &program).map_err(|e| {
                let message = format!("the helper {} cannot be made: {e}", program.display());
                Error::new(ErrorKind::Unavailable, message).with_source(e)
            })?;
        }
        let mut argv = vec![program.display().to_string()];
        argv.extend(supervisor.args.iter().cloned());
        argv.extend(words);
        Ok(argv)
    }
}

/// Copies unless it is there; never writes through a link that somebody else has put in its place.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o755).open(to) {
        Ok(mut file) => {
            io::copy(&mut File::open(from)?, &mut file)?;
            file.set_permissions(PermissionsExt::from_mode(0o755))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// The first part of the way to a path, or the path itself, that is not open for everybody.
pub(crate) fn closed_dir(path: &Path) -> Option<&Path> {
    path.ancestors().find(|dir| {
        let mode = std::fs::metadata(dir).map(|m| m.permissions().mode());
        mode.is_ok_and(|m| m & 0o001 == 0)
    })
}
