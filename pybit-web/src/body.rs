//! Request bodies: counted while they arrive, so that a length that lies costs no memory.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use poem::http::{HeaderMap, StatusCode, header};
use poem::{Body, Request};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};
use crate::json;

/// The longest JSON body, in bytes.
pub(crate) const JSON: usize = 1 << 20;
/// The longest form, in bytes.
const FORM: usize = 64 << 10;
/// The longest piece of a file, in bytes.
pub(crate) const PIECE: usize = 8 << 20;
/// The longest piece of a log, in bytes.
pub(crate) const LOG_PIECE: usize = 1 << 20;

/// Reads a JSON body strictly; 415 where it is not declared as JSON.
pub(crate) async fn json<T: DeserializeOwned>(request: &mut Request) -> ApiResult<T> {
    if !is(request.headers(), "application/json") {
        let message = "the body must be JSON and say so: Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
    }
    let bytes = bytes(request, JSON).await?;
    json::read(&bytes)
}

/// Reads the fields of a form, each once; 415 where it is not declared as one.
pub(crate) async fn form<T: DeserializeOwned>(request: &mut Request) -> ApiResult<T> {
    if !is(request.headers(), "application/x-www-form-urlencoded") {
        let message = "the body must be a form: Content-Type: application/x-www-form-urlencoded";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_a_form", message));
    }
    let bytes = bytes(request, FORM).await?;
    serde_urlencoded::from_bytes(&bytes)
        .map_err(|e| ApiError::malformed("malformed_form", format!("the form cannot be read: {e}")))
}

/// Reads a body of at most `most` bytes; 413 as soon as it is longer.
pub(crate) async fn bytes(request: &mut Request, most: usize) -> ApiResult<Bytes> {
    refuse_encoded(request.headers())?;
    let too_large = || {
        let message = format!("the body is longer than {most} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    };
    let declared = declared_length(request.headers());
    if declared.is_some_and(|n| n > most as u64) {
        return Err(too_large());
    }
    let expected = declared.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let body: Body = request.take_body();
    let mut chunks = std::pin::pin!(body.into_bytes_stream());
    let mut read = BytesMut::with_capacity(expected);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::malformed("cut_off", "the body ended before all of it had arrived")
        })?;
        if read.len() + chunk.len() > most {
            return Err(too_large());
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Whether the request declares that it has no body.
pub(crate) fn is_absent(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::TRANSFER_ENCODING) && declared_length(headers).unwrap_or(0) == 0
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A compressed body could be any number of times as long as it claims.
fn refuse_encoded(headers: &HeaderMap) -> ApiResult<()> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding.as_bytes() != b"identity" => {
            let message = "a compressed body is not taken; send it as it is";
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded_body", message))
        }
        _ => Ok(()),
    }
}

fn is(headers: &HeaderMap, media: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = value.and_then(|v| v.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(media)
}
