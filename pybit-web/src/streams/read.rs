//! Reads a stream from any offset, wherever its bytes lie by then.

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use poem::Body;
use pybit_core::model::{Part, Stream, StreamId, StreamRole};
use pybit_core::{Error, ErrorKind, Result};

use super::{archive, current};
use crate::app::AppState;

/// Bytes that one step of a download reads.
const CHUNK: u64 = 512 << 10;
/// Pieces that one step looks up.
const PARTS: u32 = 64;
/// How often a step starts anew because the objects it was about to read have become others.
const MOST_MOVES: usize = 5;

/// Some bytes from `offset` on: at most `most`, empty only at the stream's end.
pub(crate) async fn read_some(
    state: &AppState,
    id: StreamId,
    offset: u64,
    most: u64,
) -> Result<Bytes> {
    for _ in 0..MOST_MOVES {
        match step(state, id, offset, most).await {
            // Pieces were joined, or the stream was completed, between the look-up and the read.
            Err(error) if error.code() == "object_missing" => {}
            other => return other,
        }
    }
    let message = format!("the bytes of stream {id} from {offset} on are not where they should be");
    Err(Error::new(ErrorKind::Corrupt, message))
}

async fn step(state: &AppState, id: StreamId, offset: u64, most: u64) -> Result<Bytes> {
    let stream = current(state, id).await?;
    let end = stream.length.min(offset.saturating_add(most));
    if offset >= end {
        return Ok(Bytes::new());
    }
    match &stream.object {
        Some(object) if stream.role == StreamRole::Log => {
            archive::read(state, object, offset, most).await
        }
        Some(object) => state.blobs.range(object, offset, end).await,
        None => {
            let parts = state.farm.storage().parts(id, offset, PARTS).await?;
            from_parts(state, &parts, offset, end).await
        }
    }
}

async fn from_parts(state: &AppState, parts: &[Part], offset: u64, end: u64) -> Result<Bytes> {
    let mut read = BytesMut::new();
    let mut at = offset;
    for part in parts {
        if at >= end || part.offset > at {
            break;
        }
        let last = end.min(part.offset + part.length) - part.offset;
        let bytes = state.blobs.range(&part.object, at - part.offset, last).await?;
        at += bytes.len() as u64;
        read.extend_from_slice(&bytes);
    }
    if read.is_empty() {
        let message = "the pieces have moved";
        return Err(Error::new(ErrorKind::NotFound, message).with_code("object_missing"));
    }
    Ok(read.freeze())
}

/// The bytes of a stream from `offset` on, at most `length`: shorter only where the stream ends.
pub(crate) async fn read_range(
    state: &AppState,
    stream: &Stream,
    offset: u64,
    length: u64,
) -> Result<Bytes> {
    let length = length.min(stream.length.saturating_sub(offset));
    if let Some(object) = stream.object.as_ref().filter(|_| stream.role == StreamRole::File) {
        // A file that is whole stays in its object.
        return state.blobs.range(object, offset, offset + length).await;
    }
    let mut read = BytesMut::new();
    while (read.len() as u64) < length {
        let at = offset + read.len() as u64;
        let more = read_some(state, stream.id, at, length - read.len() as u64).await?;
        if more.is_empty() {
            break;
        }
        read.extend_from_slice(&more);
    }
    Ok(read.freeze())
}

/// The bytes of a stream in `from..to` as an answer's body. A failure on the way breaks the connection off, so that
/// the reader does not take what came for the whole.
pub(crate) fn body(state: &AppState, id: StreamId, from: u64, to: u64) -> Body {
    let state = state.clone();
    Body::from_bytes_stream(stream::try_unfold(from, move |at| {
        let state = state.clone();
        async move {
            if at >= to {
                return Ok(None);
            }
            let bytes = read_some(&state, id, at, CHUNK.min(to - at)).await.map_err(|error| {
                tracing::error!(?error, stream = %id, "a download broke off");
                std::io::Error::other("the stored bytes cannot be read")
            })?;
            if bytes.is_empty() {
                return Err(std::io::Error::other("the stored bytes end early"));
            }
            let next = at + bytes.len() as u64;
            Ok(Some((bytes, next)))
        }
    }))
}
