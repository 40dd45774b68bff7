//! Gives a stream the bytes of an object that is here already.

use bytes::Bytes;
use pybit_core::model::{Appended, NewPart, Stream};
use pybit_core::{Error, Result};

use super::{append, current, nonce};
use crate::app::AppState;
use crate::error::ApiResult;

/// Makes an empty file of a stream whole from a copy of `object`, which the store makes by itself; what it holds must be
/// what was declared, `Invalid`, code `digest_mismatch`.
pub(crate) async fn adopt(state: &AppState, stream: Stream, object: &str) -> ApiResult<()> {
    let length = stream.size.ok_or_else(|| Error::internal("only files are adopted"))?;
    if length > 0 {
        take(state, &stream, object, length).await?;
    }
    // Nothing more comes: the file is full, and made whole.
    let stream = current(state, stream.id).await?;
    append(state, stream, length, &Bytes::new()).await.map(drop)
}

async fn take(state: &AppState, stream: &Stream, object: &str, length: u64) -> Result<()> {
    let part =
        NewPart { offset: 0, length, object: format!("parts/{}/{:020}-{}", stream.id, 0, nonce()) };
    state.blobs.copy(object, &part.object).await?;
    match state.farm.storage().append_part(stream.id, &part).await {
        Ok(Appended::Grown(_)) => Ok(()),
        Ok(Appended::Mismatch(_)) => {
            state.blobs.discard(vec![part.object]).await;
            Err(Error::conflict(format!("{} is not empty", stream.name)))
        }
        // The row may be there all the same, and then it names the object.
        Err(error) => Err(error),
    }
}
