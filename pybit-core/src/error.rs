//! One error type for every trait of pybit.

use std::fmt;

/// The result of every fallible operation in pybit.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was; the caller acts on this, people read [`Error::message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller did not say who it is, or said it wrongly.
    Unauthenticated,
    /// The caller is known and may not do this.
    Denied,
    /// The named thing does not exist.
    NotFound,
    /// The request is well formed but contradicts the present state (a stale token, an equal version).
    Conflict,
    /// The request is malformed: it cannot be read at all.
    Malformed,
    /// The request can be read, but what it says is not acceptable.
    Invalid,
    /// The request or what it sends is larger than allowed.
    TooLarge,
    /// This build, backend or configuration cannot do it.
    Unsupported,
    /// Another transaction or process is in the way; the same call may succeed in a moment.
    Busy,
    /// A service (database, broker, mirror, server) does not answer; the same call may succeed later.
    Unavailable,
    /// No space is left to store bytes; nothing was changed.
    Full,
    /// Stored data contradicts itself.
    Corrupt,
    /// A defect of pybit.
    Internal,
}

impl ErrorKind {
    /// The stable code of this kind, as the API prints it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable | Self::Full)
    }
}

/// A failure: what kind, in which operation, in words, and what caused it.
///
/// The message is one sentence that says what failed, on what, and what to do about it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: &'static str,
    op: &'static str,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of `kind` in words.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            code: kind.code(),
            op: "",
            message: message.into(),
            source: None,
        }))
    }

    /// [`ErrorKind::Invalid`] in words.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// [`ErrorKind::NotFound`] in words.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Conflict`] in words.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// [`ErrorKind::Internal`] in words: a defect of pybit.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Gives the failure a stable code more exact than its kind's, e.g. `unknown_suite`.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = code;
        self
    }

    /// Names the operation that failed, e.g. `claim`.
    pub fn with_op(mut self, op: &'static str) -> Self {
        self.0.op = op;
        self
    }

    /// Attaches what caused the failure.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code, as the API prints it.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The operation that failed; empty where nobody named it.
    pub fn op(&self) -> &'static str {
        self.0.op
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("op", &self.0.op)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_and_takes_a_more_exact_code() {
        let e = Error::invalid("no suite \"sid\"").with_code("unknown_suite").with_op("submit");
        assert_eq!((e.kind(), e.code(), e.op()), (ErrorKind::Invalid, "unknown_suite", "submit"));
        assert_eq!(e.to_string(), "no suite \"sid\"");
        assert!(!e.is_retryable() && Error::new(ErrorKind::Full, "x").is_retryable());
    }
}
