//! Turns the pieces of a full file into one object, if they are what was declared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pybit_core::model::{Part, Stream, StreamId};
use pybit_core::{Error, ErrorKind, Result, trial};
use sha2::{Digest, Sha256};

use super::{current, nonce};
use crate::app::AppState;
use crate::blobs::Writer;

/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// One turn for each file that is being made whole in this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completions(Arc<Mutex<HashMap<StreamId, Arc<tokio::sync::Mutex<()>>>>>);

impl Completions {
    fn turn(&self, id: StreamId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(id).or_default())
    }
}

/// Makes a full file whole; `Invalid`, code `digest_mismatch`, where its bytes are not the declared ones, and then it
/// starts again from 0.
///
/// It runs to its end even when the caller goes away, and a caller that comes back waits for the same run: hashing a
/// large file takes longer than clients wait for an answer.
pub(super) async fn complete(state: &AppState, id: StreamId) -> Result<()> {
    let state = state.clone();
    let turn = state.completions.turn(id);
    let run = tokio::spawn(async move {
        let _turn = turn.lock().await;
        let stream = current(&state, id).await?;
        if stream.object.is_some() {
            return Ok(());
        }
        if stream.size != Some(stream.length) {
            return Err(Error::conflict("the file started again from 0").with_code("incomplete"));
        }
        make_whole(&state, &stream).await
    });
    run.await.map_err(|e| Error::internal("making a file whole broke off").with_source(e))?
}

async fn make_whole(state: &AppState, stream: &Stream) -> Result<()> {
    let storage = state.farm.storage();
    let declared = stream.sha256.clone().unwrap_or_default();
    let parts = all_parts(state, stream).await?;
    let objects: Vec<String> = parts.iter().map(|p| p.object.clone()).collect();
    // What a complete file names is whole, checked and stays: it needs no second copy. What no file names may be cleared
    // away at any time, so a name is never used twice.
    let known = storage.objects_of(&declared).await?.into_iter().next();
    let fresh = || format!("blobs/{}/{declared}-{}", declared.get(..2).unwrap_or("00"), nonce());
    let object = known.clone().unwrap_or_else(fresh);
    let equal = match &parts[..] {
        _ if known.is_some() => digest_of(state, &parts, None).await? == declared,
        [only] => copy_checked(state, only, &declared, &object).await?,
        _ => write_checked(state, &parts, &declared, &object).await?,
    };
    if !equal {
        storage.reset(stream.id).await?;
        state.blobs.discard(objects).await;
        let message = format!("{} has another SHA-256 than declared; send it again", stream.name);
        return Err(Error::invalid(message).with_code("digest_mismatch"));
    }
    trial::crash_point("file_after_blob_before_seal");
    if !storage.seal(stream.id, stream.length, &object, &declared).await?
        && current(state, stream.id).await?.object.is_none()
    {
        let message = format!("{} has changed meanwhile; try again", stream.name);
        return Err(Error::new(ErrorKind::Busy, message));
    }
    trial::crash_point("file_after_seal_before_discard");
    state.blobs.discard(objects).await;
    Ok(())
}

async fn all_parts(state: &AppState, stream: &Stream) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut end = 0;
    while end < stream.length {
        let more = state.farm.storage().parts(stream.id, end, 1000).await?;
        let Some(last) = more.last() else {
            let message = format!("stream {} has no part at {end}", stream.id);
            return Err(Error::new(ErrorKind::Corrupt, message));
        };
        end = last.offset + last.length;
        parts.extend(more);
    }
    Ok(parts)
}

/// A file of one piece need not be written again: the piece gets its final name.
async fn copy_checked(state: &AppState, part: &Part, declared: &str, object: &str) -> Result<bool> {
    if digest_of(state, std::slice::from_ref(part), None).await? != declared {
        return Ok(false);
    }
    state.blobs.copy(&part.object, object).await?;
    Ok(true)
}

async fn write_checked(
    state: &AppState,
    parts: &[Part],
    declared: &str,
    object: &str,
) -> Result<bool> {
    let mut writer = state.blobs.writer(object);
    match digest_of(state, parts, Some(&mut writer)).await {
        Ok(digest) if digest == declared => writer.finish().await.map(|()| true),
        other => {
            writer.abandon().await;
            other.map(|_| false)
        }
    }
}

/// The SHA-256 of all pieces, which are written on their way.
async fn digest_of(
    state: &AppState,
    parts: &[Part],
    mut writer: Option<&mut Writer>,
) -> Result<String> {
    let mut digest = Sha256::new();
    for part in parts {
        hash_part(state, part, &mut digest, writer.as_deref_mut()).await?;
    }
    Ok(hex::encode(digest.finalize()))
}

async fn hash_part(
    state: &AppState,
    part: &Part,
    digest: &mut Sha256,
    mut writer: Option<&mut Writer>,
) -> Result<()> {
    let mut at = 0;
    while at < part.length {
        let bytes = state.blobs.range(&part.object, at, part.length.min(at + CHUNK)).await;
        let bytes = bytes.map_err(gone_is_busy)?;
        digest.update(&bytes);
        if let Some(writer) = writer.as_deref_mut() {
            writer.write(&bytes).await?;
        }
        at += bytes.len() as u64;
    }
    Ok(())
}

/// A piece that another server has discarded after making the same file whole.
fn gone_is_busy(error: Error) -> Error {
    if error.code() != "object_missing" {
        return error;
    }
    Error::new(ErrorKind::Busy, "another server works on this file; try again").with_source(error)
}
