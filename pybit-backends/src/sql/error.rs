//! What the databases' errors mean.

use pybit_core::{Error, ErrorKind};
use sqlx::migrate::MigrateError;

use super::dialect::Dialect;

/// An error of the driver in operation `op` (the statement's name) as pybit's error.
pub(super) fn failed<D: Dialect>(op: &'static str, error: sqlx::Error) -> Error {
    let kind = kind_of::<D>(&error);
    let what = match kind {
        ErrorKind::Busy => "is busy; try again in a moment",
        ErrorKind::Full => "has a full disk; make room, nothing was changed",
        ErrorKind::Unavailable => "does not answer",
        ErrorKind::Conflict => "already has an equal row",
        ErrorKind::Corrupt => "holds what cannot be read",
        _ => "refused the statement",
    };
    let message = match kind {
        ErrorKind::Internal => format!("the {} database {what} {op}", D::NAME),
        _ => format!("the {} database {what}", D::NAME),
    };
    let full = kind == ErrorKind::Full;
    let converted = Error::new(kind, message).with_op(op).with_source(error);
    if full { converted.with_code("database_full") } else { converted }
}

fn kind_of<D: Dialect>(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(error) => D::kind(error.as_ref()),
        // The pool waits for a connection to be free or, in vain, to be made.
        sqlx::Error::PoolTimedOut => ErrorKind::Busy,
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            ErrorKind::Full
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => ErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

/// An error while the schema was brought up to date; `shown` is the database in words.
pub(super) fn not_migrated<D: Dialect>(shown: &str, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(e) => failed::<D>("migrate", e),
        MigrateError::ExecuteMigration(e, version) => {
            let kind = kind_of::<D>(&e);
            let message = format!("the schema of {shown} cannot be brought to version {version}");
            Error::new(kind, message).with_op("migrate").with_source(e)
        }
        MigrateError::VersionMismatch(version) => {
            let message = format!(
                "version {version} of the schema of {shown} is not the one that this program knows; \
                 use the pybit that made it"
            );
            Error::new(ErrorKind::Unsupported, message)
                .with_op("migrate")
                .with_code("schema_differs")
        }
        other => {
            let message = format!("the schema of {shown} cannot be brought up to date");
            Error::new(ErrorKind::Corrupt, message).with_op("migrate").with_source(other)
        }
    }
}

/// The database was written by a newer program.
pub(super) fn too_new(shown: &str, found: i64, known: i64) -> Error {
    let message = format!(
        "{shown} has schema version {found}, and this program knows versions up to {known}; \
         use a newer pybit, or restore the backup from before the upgrade"
    );
    Error::new(ErrorKind::Unsupported, message).with_op("migrate").with_code("schema_too_new")
}
