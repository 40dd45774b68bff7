//! Failures as HTTP answers: the only place that knows which kind is which status.

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use pybit_core::protocol::{CONTENT_DIGEST, ErrorBody, ErrorDetail, content_digest};
use pybit_core::{Error, ErrorKind};

/// The result of a handler.
pub(crate) type ApiResult<T, E = ApiError> = std::result::Result<T, E>;

/// A refusal as it is answered.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    expected: Option<u64>,
    challenge: &'static str,
    /// Seconds.
    retry_after: Option<u64>,
}

impl ApiError {
    /// An answer of `status` with a stable code and a sentence for people.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            expected: None,
            challenge: "Bearer",
            retry_after: None,
        }
    }

    /// 400: it cannot be read.
    pub(crate) fn malformed(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401, with the same words whatever is wrong with the token.
    pub(crate) fn unauthenticated() -> Self {
        let message = "this needs a valid access token in the Authorization header";
        Self::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthenticated.code(), message)
    }

    /// The same where a password does, too, and how it is sent (RFC 9110, 11.6.1).
    pub(crate) fn unauthenticated_hook() -> Self {
        let message = "this needs a valid access token, or an account's name and password, in the Authorization header";
        let error = Self::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthenticated.code(), message);
        Self { challenge: "Basic realm=\"pybit\"", ..error }
    }

    /// Where asking again makes sense only after so many seconds.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// 403.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Denied.code(), message)
    }

    /// 409 `offset_mismatch`: bytes do not go on where the stream ends.
    pub(crate) fn offset_mismatch(expected: u64) -> Self {
        let message = format!("the stream is {expected} bytes long; go on there");
        let mut error = Self::new(StatusCode::CONFLICT, "offset_mismatch", message);
        error.expected = Some(expected);
        error
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// Whether asking otherwise would be answered otherwise: the server has not failed.
    pub(crate) fn is_the_callers(&self) -> bool {
        self.status.is_client_error()
    }

    /// The sentence for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The status that it is answered with.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = status_of(&error);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = ?error, op = error.op(), "a request failed by a defect");
            let message =
                "something went wrong in the server; its log says what, under this request's id";
            return Self::new(status, ErrorKind::Internal.code(), message);
        }
        if error.is_retryable() {
            tracing::warn!(error = ?error, op = error.op(), "a request has to be made again later");
        }
        Self::new(status, error.code(), error.message())
    }
}

/// Conflicts that the request itself makes, whoever else asks for what; the first as
/// draft-ietf-httpapi-idempotency-key-header says.
const NOT_BY_WAITING: [&str; 2] = ["idempotency_key_reused", "files_incomplete"];

/// The status of a failure's kind.
fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict if NOT_BY_WAITING.contains(&error.code()) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Busy | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = ErrorDetail {
            code: self.code.to_owned(),
            message: self.message,
            expected: self.expected,
        };
        let body = serde_json::to_vec(&ErrorBody { error: detail }).unwrap_or_default();
        let digest = content_digest(&body);
        let response = Response::builder().status(self.status).content_type("application/json");
        let mut response = response.header(CONTENT_DIGEST, digest).body(body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge));
        }
        let busy = self.status == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = self.retry_after.or(busy.then_some(1)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What poem itself refuses (no such route, wrong method), in the API's words.
pub(crate) fn from_poem(error: &poem::Error) -> ApiError {
    let status = error.status();
    match status {
        StatusCode::NOT_FOUND => ApiError::new(status, "not_found", "there is no such address"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(status, "method_not_allowed", "this address does not take this method")
        }
        s if s.is_client_error() => ApiError::malformed("malformed", "the request cannot be read"),
        _ => Error::internal(error.to_string()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        let table = [
            (ErrorKind::Unauthenticated, 401),
            (ErrorKind::Denied, 403),
            (ErrorKind::NotFound, 404),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Malformed, 400),
            (ErrorKind::Invalid, 422),
            (ErrorKind::TooLarge, 413),
            (ErrorKind::Unsupported, 501),
            (ErrorKind::Busy, 503),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Full, 507),
            (ErrorKind::Corrupt, 500),
            (ErrorKind::Internal, 500),
        ];
        for (kind, status) in table {
            let error = ApiError::from(Error::new(kind, "why"));
            assert_eq!(error.status().as_u16(), status, "{kind:?}");
        }
        let reused = Error::conflict("x").with_code("idempotency_key_reused");
        assert_eq!(ApiError::from(reused).status().as_u16(), 422);
    }

    #[tokio::test]
    async fn the_text_of_a_defect_stays_inside() {
        let error = ApiError::from(Error::internal("the password is hunter2"));
        let body = error.into_response().into_body().into_string().await.unwrap();
        assert!(!body.contains("hunter2") && body.contains("internal"), "{body}");
    }
}
