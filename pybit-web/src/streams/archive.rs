//! Ended logs: compressed into one object each, and read from any offset.

use bytes::{Bytes, BytesMut};
use pybit_core::model::{JobStatus, Outcome, Stream, StreamOwner};
use pybit_core::{Error, Result, trial};
use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use super::frames::{self, FOOTER, FRAME, Frame};
use super::{nonce, read_some};
use crate::app::AppState;

/// Archives logs of attempts that have ended for good, some at a time. Returns how many.
///
/// Servers that do so at the same time begin at different ones, and pass over what another has done meanwhile.
pub(crate) async fn archive_ended(state: &AppState) -> Result<usize> {
    let mut archived = 0;
    let mut logs = state.farm.storage().unsealed_logs(200).await?;
    logs.shuffle(&mut rand::rng());
    for log in logs {
        if state.stopping.is_cancelled() {
            break;
        }
        let now = state.farm.storage().stream(log.id).await?;
        if now.is_none_or(|log| log.object.is_some()) {
            continue;
        }
        if has_ended_for_good(state, &log).await? {
            archived += usize::from(archive(state, &log).await?);
        }
    }
    Ok(archived)
}

/// Whether nothing can be appended any more. A lost attempt goes on while nobody else has claimed its job, and its
/// client still has the rest of its log.
async fn has_ended_for_good(state: &AppState, log: &Stream) -> Result<bool> {
    let StreamOwner::Attempt { job, attempt } = log.owner else { return Ok(false) };
    let job = state.farm.job(job).await?;
    if job.attempt != attempt || job.status.is_terminal() {
        return Ok(true);
    }
    let attempts = state.farm.storage().attempts(job.id).await?;
    let outcome = attempts.iter().find(|a| a.number == attempt).and_then(|a| a.outcome);
    Ok(match outcome {
        None => false,
        Some(Outcome::Lost) => job.status != JobStatus::Waiting && !job.status.is_held(),
        Some(_) => true,
    })
}

/// Archives one log; `false` where another server was faster.
async fn archive(state: &AppState, log: &Stream) -> Result<bool> {
    let StreamOwner::Attempt { job, attempt } = log.owner else { return Ok(false) };
    let storage = state.farm.storage();
    let parts = storage.parts(log.id, 0, 100_000).await?;
    let object = format!("logs/{job}/{attempt}-{}.zst", nonce());
    let mut writer = state.blobs.writer(&object);
    let sha256 = match write(state, log, &mut writer).await {
        Ok(sha256) => sha256,
        Err(error) => {
            writer.abandon().await;
            return Err(error);
        }
    };
    writer.finish().await?;
    compare(state, log, &sha256).await?;
    trial::crash_point("log_after_archive_before_seal");
    let sealed = storage.seal(log.id, log.length, &object, &sha256).await?;
    if sealed {
        state.blobs.discard(parts.into_iter().map(|p| p.object).collect()).await;
        state.logs.forget(log.id);
    } else {
        state.blobs.discard(vec![object]).await;
    }
    Ok(sealed)
}

/// Says so where the client has told another digest of its log: every byte was compared on its way, so one side is broken.
async fn compare(state: &AppState, log: &Stream, sha256: &str) -> Result<()> {
    let StreamOwner::Attempt { job, attempt } = log.owner else { return Ok(()) };
    let attempts = state.farm.storage().attempts(job).await?;
    let told = attempts.iter().find(|a| a.number == attempt).and_then(|a| a.log_sha256.as_deref());
    if told.is_some_and(|told| told != sha256) {
        tracing::warn!(%job, attempt, "the archived log has another SHA-256 than its client told");
    }
    Ok(())
}

/// Writes frames and table; returns the plain log's SHA-256.
async fn write(
    state: &AppState,
    log: &Stream,
    writer: &mut crate::blobs::Writer,
) -> Result<String> {
    let mut digest = Sha256::new();
    let mut frames = Vec::new();
    let mut at = 0;
    while at < log.length {
        let plain = fill(state, log, at).await?;
        at += plain.len() as u64;
        digest.update(&plain);
        let packed = tokio::task::spawn_blocking(move || frames::pack(&plain)).await;
        let (packed, frame) =
            packed.map_err(|e| Error::internal("compressing broke off").with_source(e))??;
        writer.write(&packed).await?;
        frames.push(frame);
    }
    writer.write(&frames::table(&frames)?).await?;
    Ok(hex::encode(digest.finalize()))
}

/// The next full frame's bytes; less only at the end.
async fn fill(state: &AppState, log: &Stream, from: u64) -> Result<Bytes> {
    let to = log.length.min(from + FRAME as u64);
    let mut plain = BytesMut::with_capacity(FRAME);
    while from + (plain.len() as u64) < to {
        let at = from + plain.len() as u64;
        let more = read_some(state, log.id, at, to - at).await?;
        if more.is_empty() {
            return Err(Error::internal(format!("log {} ends early at {at}", log.id)));
        }
        plain.extend_from_slice(&more);
    }
    Ok(plain.freeze())
}

/// Some bytes of an archived log from `offset` on, at most `most`.
pub(super) async fn read(state: &AppState, object: &str, offset: u64, most: u64) -> Result<Bytes> {
    let missing = || Error::not_found("an archived log is not there").with_code("object_missing");
    let length = state.blobs.length(object).await?.ok_or_else(missing)?;
    let footer = state.blobs.range(object, length.saturating_sub(FOOTER as u64), length).await?;
    let table = frames::table_length(&footer, length)?;
    let table = state.blobs.range(object, length - table, length).await?;
    let Some((frame, packed_at, plain_at)) = find(&frames::read_table(&table)?, offset) else {
        return Ok(Bytes::new());
    };
    let packed = state.blobs.range(object, packed_at, packed_at + u64::from(frame.packed)).await?;
    let plain = Bytes::from(frames::unpack(&packed, frame)?);
    let skip = usize::try_from(offset - plain_at).unwrap_or(plain.len());
    let rest = plain.slice(skip.min(plain.len())..);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Ok(rest.slice(..rest.len().min(most)))
}

/// The frame that holds the byte at `offset`, and where it starts, packed and plain.
fn find(frames: &[Frame], offset: u64) -> Option<(Frame, u64, u64)> {
    let (mut packed, mut plain) = (0, 0);
    for frame in frames {
        if offset < plain + u64::from(frame.plain) {
            return Some((*frame, packed, plain));
        }
        packed += u64::from(frame.packed);
        plain += u64::from(frame.plain);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use pybit_core::Farm;
    use pybit_core::clock::{SystemClock, Timestamp};
    use pybit_core::conformance::support::{
        Store, apply, ending, log_of, planned_in, submit_and_take, target,
    };
    use pybit_core::memory::{MemoryStorage, MemoryTransport};

    use super::*;
    use crate::blobs::Blobs;
    use crate::config::WebConfig;
    use crate::streams::append;

    fn server(storage: &Store, blobs: &Blobs) -> AppState {
        let farm = Farm::with_policy(
            Arc::clone(storage),
            Arc::new(MemoryTransport::default()),
            [],
            Arc::new(SystemClock),
            pybit_core::Policy::default(),
        );
        let stopping = tokio_util::sync::CancellationToken::new();
        AppState::new(farm, blobs.clone(), None, WebConfig::default(), stopping).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn servers_that_archive_at_once_keep_each_log_once() {
        let storage: Store = Arc::new(MemoryStorage::default());
        let blobs = Blobs::new(Arc::new(object_store::memory::InMemory::new()), "memory:");
        let [one, two] = [server(&storage, &blobs), server(&storage, &blobs)];
        let mut logs = Vec::new();
        for n in 0..40 {
            let planned = planned_in(&format!("p{n}"), "1", target(&format!("arch{n}")));
            let job = submit_and_take(&storage, "box", planned).await;
            let log = log_of(&storage, &job).await;
            let text = Bytes::from(format!("said by {n}\n").repeat(2000));
            let stream = storage.stream(log).await.unwrap().unwrap();
            append(&one, stream, 0, &text).await.unwrap();
            apply(&storage, ending(&job, JobStatus::Failed, Outcome::Failed)).await;
            logs.push((log, text));
        }
        let (first, second) = tokio::join!(archive_ended(&one), archive_ended(&two));
        assert_eq!(first.unwrap() + second.unwrap(), logs.len());
        for (log, text) in &logs {
            let length = text.len() as u64;
            let mut read = BytesMut::new();
            while (read.len() as u64) < length {
                let at = read.len() as u64;
                read.extend_from_slice(&read_some(&two, *log, at, length - at).await.unwrap());
            }
            assert!(read == *text, "{log}");
        }
        let ever = Timestamp::from_micros(i64::MAX);
        assert_eq!(blobs.older("logs", ever).count().await, logs.len());
        assert_eq!(blobs.older("parts", ever).count().await, 0);
    }
}
