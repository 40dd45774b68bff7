//! What the server answers when it does not do as asked.

use std::fmt;

use pybit_core::protocol::{DAMAGED, ErrorBody};
use pybit_core::{Error, ErrorKind};
use reqwest::StatusCode;

/// The result of a call to the server.
pub type ApiResult<T> = Result<T, ApiError>;

/// A call that failed. Becomes a [`pybit_core::Error`] of the same kind and message.
#[derive(Debug)]
pub struct ApiError {
    /// The HTTP status; absent where no answer came, or the failure was on this machine.
    pub status: Option<u16>,
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// The stable code that the server gave, or the kind's.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// For an append that does not fit: the offset that fits.
    pub expected: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// A failure before or without an answer.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            status: None,
            kind,
            code: kind.code().to_owned(),
            message: message.into(),
            expected: None,
            source: None,
        }
    }

    /// A file of this machine that cannot be read or written.
    pub(crate) fn local(what: &str, path: &std::path::Path, cause: std::io::Error) -> Self {
        let kind = match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, format!("cannot {what} {}: {cause}", path.display())).with_source(cause)
    }

    /// Attaches what caused the failure.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The failure that an answer of `status` with `body` means; `asked` names the request, e.g. `GET http://…/jobs`.
    pub(crate) fn answered(status: StatusCode, body: &[u8], asked: &str) -> Self {
        let kind = kind_of(status);
        let mut error = Self::new(kind, format!("{asked} was answered with {status}"));
        error.status = Some(status.as_u16());
        if let Ok(told) = serde_json::from_slice::<ErrorBody>(body) {
            error.code = told.error.code;
            error.message = told.error.message;
            error.expected = told.error.expected;
        }
        error
    }

    /// Whether the same call can succeed later without anybody changing anything: no answer came, or the server said
    /// 408, 429 or 5xx, or got a damaged body.
    pub fn is_transient(&self) -> bool {
        match self.status {
            Some(400) if self.code == DAMAGED => true,
            None => self.kind == ErrorKind::Unavailable,
            Some(status) => status == 408 || status == 429 || status >= 500,
        }
    }

    /// Whether it has this stable code.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }
}

/// The kind that a status means.
fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        400 | 415 => ErrorKind::Malformed,
        405 | 501 => ErrorKind::Unsupported,
        413 => ErrorKind::TooLarge,
        408 | 429 => ErrorKind::Busy,
        507 => ErrorKind::Full,
        502..=599 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}

/// The codes that programs act upon; [`Error::code`] is static, so others become their kind's code.
const CODES: &[&str] = &[
    "digest_mismatch",
    "diverged",
    "files_incomplete",
    "future_attempt",
    "idempotency_key_reused",
    "incomplete",
    "invalid_arch",
    "invalid_client",
    "invalid_configuration",
    "invalid_dist",
    "invalid_env",
    "invalid_file_name",
    "invalid_format",
    "invalid_package",
    "invalid_pattern",
    "invalid_source",
    "invalid_source_reference",
    "invalid_source_url",
    "invalid_suite",
    "invalid_version",
    "job_has_ended",
    "manifest_changed",
    "name_of_distribution",
    "names_unavailable",
    "not_building",
    "not_your_job",
    "offset_mismatch",
    "older_version",
    "same_version",
    "sealed",
    "size_exceeded",
    "stale_attempt",
    "unknown_arch",
    "unknown_dist",
    "unknown_env",
    "unknown_format",
    "unknown_status",
    "unknown_suite",
];

impl From<ApiError> for Error {
    fn from(e: ApiError) -> Self {
        let code = CODES.iter().find(|c| **c == e.code);
        let mut error = Error::new(e.kind, e.message);
        if let Some(code) = code {
            error = error.with_code(code);
        }
        match e.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_message_and_offset_are_kept() {
        let body = br#"{"error":{"code":"offset_mismatch","message":"send from 7","expected":7}}"#;
        let error = ApiError::answered(StatusCode::CONFLICT, body, "PATCH x");
        assert!(error.is("offset_mismatch") && error.expected == Some(7) && !error.is_transient());
        let core = Error::from(error);
        assert_eq!((core.kind(), core.code()), (ErrorKind::Conflict, "offset_mismatch"));
        assert_eq!(core.message(), "send from 7");
    }

    #[test]
    fn an_answer_that_is_not_ours_is_named_by_its_status() {
        let error = ApiError::answered(StatusCode::BAD_GATEWAY, b"<html>", "GET http://h/api");
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "GET http://h/api was answered with 502 Bad Gateway");
    }

    #[test]
    fn every_status_has_a_kind_and_only_later_ones_are_transient() {
        let table = [
            (400, ErrorKind::Malformed, false),
            (401, ErrorKind::Unauthenticated, false),
            (403, ErrorKind::Denied, false),
            (404, ErrorKind::NotFound, false),
            (409, ErrorKind::Conflict, false),
            (413, ErrorKind::TooLarge, false),
            (415, ErrorKind::Malformed, false),
            (422, ErrorKind::Invalid, false),
            (429, ErrorKind::Busy, true),
            (500, ErrorKind::Internal, true),
            (503, ErrorKind::Unavailable, true),
            (507, ErrorKind::Full, true),
        ];
        for (status, kind, transient) in table {
            let error = ApiError::answered(StatusCode::from_u16(status).unwrap(), b"", "GET x");
            assert_eq!((error.kind, error.is_transient()), (kind, transient), "{status}");
        }
    }
}
