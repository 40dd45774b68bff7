//! Bytes that grow by offset: logs and files, from the first piece to the finished object.
//!
//! | file | what it does |
//! |---|---|
//! | `adopt` | takes an object that is here already |
//! | `append` | takes a piece; compares what was sent again |
//! | `complete` | turns a whole file's pieces into one checked object |
//! | `read` | reads from any offset, wherever the bytes lie |
//! | `merge` | joins a log's small pieces |
//! | `archive`, `frames` | keeps an ended log compressed, readable from any offset |
//! | `clean` | clears away what nothing names |
//! | `hub` | wakes the followers of a log |

mod adopt;
mod append;
mod archive;
mod clean;
mod complete;
mod frames;
mod hub;
mod merge;
mod read;

pub(crate) use adopt::adopt;
pub(crate) use append::append;
pub(crate) use archive::archive_ended;
pub(crate) use clean::{clean_pieces, clean_whole};
pub(crate) use complete::Completions;
pub(crate) use hub::LogHub;
pub(crate) use read::{body, read_range, read_some};

use pybit_core::model::{Stream, StreamId, StreamOwner, StreamRole};
use pybit_core::{Error, Result};

use crate::app::AppState;

/// The stream as it is now.
async fn current(state: &AppState, id: StreamId) -> Result<Stream> {
    let stream = state.farm.storage().stream(id).await?;
    stream.ok_or_else(|| Error::internal(format!("stream {id} is gone")))
}

/// A part of an object's name that no other call chooses.
fn nonce() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

/// The log of an attempt.
pub(crate) async fn log_of(state: &AppState, owner: StreamOwner) -> Result<Option<Stream>> {
    let streams = state.farm.storage().streams(owner).await?;
    Ok(streams.into_iter().find(|s| s.role == StreamRole::Log))
}

/// The declared file of this name.
pub(crate) async fn file_of(
    state: &AppState,
    owner: StreamOwner,
    name: &str,
) -> Result<Option<Stream>> {
    let streams = state.farm.storage().streams(owner).await?;
    Ok(streams.into_iter().find(|s| s.role == StreamRole::File && s.name.as_str() == name))
}
