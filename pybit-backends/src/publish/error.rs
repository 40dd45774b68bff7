//! How failures of files and tools become pybit's.

use std::io;
use std::path::Path;

use pybit_core::{Error, ErrorKind};

use super::tool::Done;

/// A failure to `what` (`read`, `create`) the file at `path`.
pub(super) fn io(what: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    };
    let message = format!("the repository cannot {what} {}: {error}", path.display());
    Error::new(kind, message).with_op("publish").with_source(error)
}

/// Stored state that contradicts itself.
pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_op("publish")
}

/// A tool that failed where it must not.
pub(super) fn tool(name: &str, what: &str, done: &Done) -> Error {
    let kind = done.trouble().unwrap_or(match done.code {
        0..128 => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    });
    let said = done.last_words();
    Error::new(kind, format!("{name} could not {what} (exit code {}): {said}", done.code))
        .with_op("publish")
}
