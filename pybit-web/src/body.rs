//! Request bodies: counted while they arrive, so that a length that lies costs no memory.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use poem::Request;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use pybit_core::protocol::{CONTENT_DIGEST, DAMAGED, is_as_sent};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};
use crate::json;

/// The longest JSON body, in bytes.
pub(crate) const JSON: usize = 1 << 20;
/// The longest JSON body with a list of submissions, in bytes.
pub(crate) const LIST: usize = 32 << 20;
/// The longest form, in bytes.
const FORM: usize = 64 << 10;
/// The longest piece of a file, in bytes.
pub(crate) const PIECE: usize = 8 << 20;
/// The longest piece of a log, in bytes.
pub(crate) const LOG_PIECE: usize = 1 << 20;

/// Bytes of a refused body that are read all the same.
const DRAINED: usize = 1 << 30;

/// Reads a JSON body strictly; 415 where it is not declared as JSON.
pub(crate) async fn json<T: DeserializeOwned>(request: &mut Request) -> ApiResult<T> {
    json_up_to(request, JSON).await
}

/// The same of at most `most` bytes.
pub(crate) async fn json_up_to<T: DeserializeOwned>(
    request: &mut Request,
    most: usize,
) -> ApiResult<T> {
    if !is(request.headers(), "application/json") {
        let message = "the body must be JSON and say so: Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
    }
    let bytes = bytes(request, most).await?;
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
    let declared = declared_length(request.headers());
    if declared.is_some_and(|n| n > most as u64) {
        return Err(too_large(most));
    }
    let expected = declared.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let body = collect(request.take_body().into_bytes_stream(), most, expected).await?;
    refuse_damaged(request.headers(), &body)?;
    Ok(body)
}

/// A body that is not the one that was sent.
fn refuse_damaged(headers: &HeaderMap, body: &[u8]) -> ApiResult<()> {
    let as_sent = |value: &HeaderValue| value.to_str().is_ok_and(|v| is_as_sent(v, body));
    if headers.get_all(CONTENT_DIGEST).iter().all(as_sent) {
        return Ok(());
    }
    let message =
        "the body is not what its Content-Digest says; it was damaged on its way, send it again";
    Err(ApiError::malformed(DAMAGED, message))
}

/// Reads at most `most` bytes of what arrives; 413 as soon as there are more. `expected` bytes have room at once.
pub(crate) async fn collect(
    body: impl Stream<Item = std::io::Result<Bytes>>,
    most: usize,
    expected: usize,
) -> ApiResult<Bytes> {
    let mut chunks = std::pin::pin!(body);
    let mut read = BytesMut::with_capacity(expected);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::malformed("cut_off", "the body ended before all of it had arrived")
        })?;
        if read.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

fn too_large(most: usize) -> ApiError {
    let message = format!("the body is longer than {most} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
}

/// A body as it arrives; 415 where it is compressed.
pub(crate) fn stream(
    request: &mut Request,
) -> ApiResult<impl Stream<Item = std::io::Result<Bytes>> + use<>> {
    refuse_encoded(request.headers())?;
    Ok(request.take_body().into_bytes_stream())
}

/// Reads what is left of a refused body, so that its sender, who may read nothing before it has sent everything, gets to
/// the answer. A sender that goes on and on is cut off.
pub(crate) async fn drain(body: impl Stream<Item = std::io::Result<Bytes>>) {
    let mut chunks = std::pin::pin!(body);
    let mut read = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        read += chunk.len();
        if read > DRAINED {
            return;
        }
    }
}

/// Whether the request declares that it has no body.
pub(crate) fn is_absent(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::TRANSFER_ENCODING) && declared_length(headers).unwrap_or(0) == 0
}

/// The length that the request declares.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
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
