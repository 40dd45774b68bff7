//! One at a time among all processes of the machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use pybit_core::build::LogSink;
use pybit_core::{Error, ErrorKind, Result};

/// Between two looks at a lock that another holds; waiting in the kernel could not be given up.
const LOOK: Duration = Duration::from_millis(200);

/// Takes the lock that the file stands for, and says in the log when another has it. It is free again when the answer is
/// dropped, or when the process ends.
pub(crate) async fn take(path: &Path, log: &dyn LogSink) -> Result<File> {
    take_by(path, log, File::try_lock).await
}

/// The same, together with others that share it.
pub(crate) async fn share(path: &Path, log: &dyn LogSink) -> Result<File> {
    take_by(path, log, File::try_lock_shared).await
}

async fn take_by(
    path: &Path,
    log: &dyn LogSink,
    take: fn(&File) -> Result<(), TryLockError>,
) -> Result<File> {
    let failed = |e: std::io::Error| {
        let message = format!("the lock {} cannot be taken: {e}", path.display());
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    };
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    let mut said = false;
    loop {
        match take(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        if !said {
            log.write(b"waiting for another job that prepares the same\n").await?;
            said = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}
