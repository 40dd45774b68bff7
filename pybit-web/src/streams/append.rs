//! Takes a piece: bytes durable first, then the row that names them.

use bytes::Bytes;
use poem::http::StatusCode;
use pybit_core::model::{Appended, NewPart, Stream, StreamOwner, StreamRole};
use pybit_core::trial::{self, Mutation};
use pybit_core::{Error, ErrorKind};

use super::{complete, current, merge, nonce, read_range};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};

/// How often a piece is tried anew because another one came first.
const MOST_RACES: usize = 10;

/// What a log may be longer than the build's own limit: the client says at its end why it stopped the build.
const LOG_SLACK: u64 = 1 << 20;

/// Appends `bytes` at `offset` of a stream that was just read, and returns the length that is durable then. Bytes that are there already must be equal;
/// the piece that fills a file makes it whole.
pub(crate) async fn append(
    state: &AppState,
    stream: Stream,
    offset: u64,
    bytes: &Bytes,
) -> ApiResult<u64> {
    let mut stream = stream;
    for _ in 0..MOST_RACES {
        let fresh = check(state, &stream, offset, bytes).await?;
        if fresh.is_empty() {
            return whole(state, &stream).await;
        }
        if let Some(length) = store(state, &stream, fresh).await? {
            grown(state, &stream).await;
            return whole(state, &Stream { length, ..stream }).await;
        }
        stream = current(state, stream.id).await?;
    }
    let message = "others append to this all the time; try again";
    Err(Error::new(ErrorKind::Busy, message).into())
}

/// The bytes that are new, after those that are there already have been compared.
async fn check(state: &AppState, stream: &Stream, offset: u64, bytes: &Bytes) -> ApiResult<Bytes> {
    let end = offset.checked_add(bytes.len() as u64).filter(|end| i64::try_from(*end).is_ok());
    let end =
        end.ok_or_else(|| ApiError::malformed("invalid_offset", "the offset is too large"))?;
    if offset > stream.length {
        return Err(ApiError::offset_mismatch(stream.length));
    }
    check_size(state, stream, end)?;
    let known = end.min(stream.length) - offset;
    let there = read_range(state, stream, offset, known).await?;
    let (again, fresh) = bytes.split_at(there.len());
    if again != there && !trial::is_broken(Mutation::SkipOverlapCompare) {
        let message = format!("other bytes of {} are at this offset already", stream.name);
        return Err(ApiError::new(StatusCode::CONFLICT, "diverged", message));
    }
    Ok(bytes.slice_ref(fresh))
}

fn check_size(state: &AppState, stream: &Stream, end: u64) -> ApiResult<()> {
    if let Some(size) = stream.size.filter(|size| end > *size) {
        let message =
            format!("{} was declared with {size} bytes, and this goes on to {end}", stream.name);
        return Err(Error::invalid(message).with_code("size_exceeded").into());
    }
    let longest = state.farm.policy().log_bytes.saturating_add(LOG_SLACK);
    if stream.role == StreamRole::Log && end > longest {
        let message = format!("a log may be {longest} bytes long, and this goes on to {end}");
        return Err(Error::new(ErrorKind::TooLarge, message).with_code("log_too_large").into());
    }
    Ok(())
}

/// Stores a piece at the stream's end; `None` where another piece was faster.
async fn store(state: &AppState, stream: &Stream, bytes: Bytes) -> ApiResult<Option<u64>> {
    let offset = stream.length;
    let object = format!("parts/{}/{offset:020}-{}", stream.id, nonce());
    let part = NewPart { offset, length: bytes.len() as u64, object };
    trial::crash_point("piece_before_blob");
    let late = trial::is_broken(Mutation::RowBeforeBlob).then(|| bytes.clone());
    if late.is_none() {
        state.blobs.put(&part.object, bytes).await?;
    }
    trial::crash_point("piece_after_blob_before_row");
    match state.farm.storage().append_part(stream.id, &part).await {
        Ok(Appended::Grown(length)) => {
            trial::crash_point("piece_after_row_before_reply");
            if let Some(bytes) = late {
                state.blobs.put(&part.object, bytes).await?;
            }
            Ok(Some(length))
        }
        Ok(Appended::Mismatch(_)) => {
            state.blobs.discard(vec![part.object]).await;
            Ok(None)
        }
        Err(error) => {
            // After any other failure the row may be there all the same, and then it names the object.
            if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Invalid) {
                state.blobs.discard(vec![part.object]).await;
            }
            Err(error.into())
        }
    }
}

/// What follows from a longer log; the piece is durable whatever becomes of it.
async fn grown(state: &AppState, stream: &Stream) {
    let StreamOwner::Attempt { job, .. } = stream.owner else { return };
    if stream.role != StreamRole::Log {
        return;
    }
    state.logs.wake(job);
    if state.logs.is_merge_due(stream.id)
        && let Err(error) = merge::merge_small(state, stream.id).await
    {
        tracing::warn!(stream = %stream.id, %error, "the pieces of a log stay small");
    }
}

/// The stream's length, after a file that is full has been made whole.
async fn whole(state: &AppState, stream: &Stream) -> ApiResult<u64> {
    if stream.role == StreamRole::File
        && stream.object.is_none()
        && stream.size == Some(stream.length)
    {
        complete::complete(state, stream.id).await?;
    }
    Ok(stream.length)
}
