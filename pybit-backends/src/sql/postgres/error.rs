//! What the server's errors mean, by their code (PostgreSQL's appendix A).

use pybit_core::{Error, ErrorKind};
use sqlx::error::DatabaseError;

/// What an error of a statement means.
pub(super) fn kind(error: &dyn DatabaseError) -> ErrorKind {
    if error.is_unique_violation() {
        return ErrorKind::Conflict;
    }
    let code = error.code().unwrap_or_default();
    match code.as_ref() {
        // Out of disk, of memory; too many connections.
        "53100" => ErrorKind::Full,
        // Serialization, deadlock, no lock in time, statement out of time.
        "40001" | "40P01" | "55P03" | "57014" | "53200" | "53300" => ErrorKind::Busy,
        // The server ends, starts, or only reads; the user is not let in any more.
        "25006" | "25P03" | "25P04" | "28000" | "28P01" | "3D000" => ErrorKind::Unavailable,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        code if code.starts_with("08") || code.starts_with("57P") => ErrorKind::Unavailable,
        code if code.starts_with("58") => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// Whether a transaction failed without its own fault and took no effect.
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::BeginFailed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            matches!(code.as_ref(), "40001" | "40P01" | "25P03" | "25P04")
                || code.starts_with("08")
                || code.starts_with("57P")
        }
        _ => false,
    }
}

/// Why the server `shown` cannot be used: one sentence, without what the driver quotes.
pub(super) fn unreachable(shown: &str, error: sqlx::Error) -> Error {
    let (kind, code, why) = match &error {
        sqlx::Error::Database(said) => refused(said.as_ref()),
        sqlx::Error::Tls(_) => (
            ErrorKind::Unavailable,
            "storage_tls",
            "TLS with it failed; see sslmode and sslrootcert",
        ),
        sqlx::Error::Io(io) => (ErrorKind::Unavailable, "storage_unreachable", in_words(io.kind())),
        sqlx::Error::PoolTimedOut => {
            (ErrorKind::Unavailable, "storage_unreachable", "it does not answer in time")
        }
        sqlx::Error::Protocol(_) => {
            (ErrorKind::Unavailable, "storage_unreachable", "what answers is not PostgreSQL")
        }
        _ => (ErrorKind::Unavailable, "storage_unreachable", "it cannot be spoken to"),
    };
    let message = format!("the PostgreSQL database {shown} cannot be used: {why}");
    Error::new(kind, message).with_op("open").with_code(code).with_source(error)
}

fn refused(said: &dyn DatabaseError) -> (ErrorKind, &'static str, &'static str) {
    let code = said.code().unwrap_or_default();
    match code.as_ref() {
        "28P01" | "28000" => {
            (ErrorKind::Denied, "storage_denied", "it refuses the user, the password or this host")
        }
        "3D000" => (
            ErrorKind::Invalid,
            "no_such_database",
            "there is no such database; createdb makes one",
        ),
        "42501" => (
            ErrorKind::Denied,
            "storage_denied",
            "the user may not make tables there; make it the owner of the database",
        ),
        "53300" => (ErrorKind::Unavailable, "storage_full", "it has no connection left"),
        "57P03" => (ErrorKind::Unavailable, "storage_starting", "it is starting or stopping"),
        _ => (ErrorKind::Unavailable, "storage_refuses", "it refuses the connection"),
    }
}

fn in_words(kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind as Io;
    match kind {
        Io::ConnectionRefused => "nothing listens there; is it started?",
        Io::TimedOut => "it does not answer in time",
        Io::HostUnreachable | Io::NetworkUnreachable => "there is no way to that host",
        Io::NotFound => "there is no such socket or certificate",
        Io::ConnectionReset | Io::UnexpectedEof | Io::BrokenPipe => "it closed the connection",
        _ => "the host is not known or cannot be reached",
    }
}
