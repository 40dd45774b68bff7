//! Clears away stored objects that nothing names: a server was killed between the object and its row, or a sender never came back.
//!
//! A name is never used twice, so an object that is a day old and is named by nothing will never be.

use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt;
use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::StreamOwner;

use super::log_of;
use crate::app::AppState;

/// Objects that nothing names are kept this long, as a server may be about to name them; and files that do not become
/// whole, as their sender may come back.
const ORPHANED: Duration = Duration::from_hours(24);
/// Files whose pieces are forgotten in one transaction.
const AT_ONCE: u32 = 100;

/// Clears away pieces: of files that never became whole, and those that no stream names. Returns how many.
pub(crate) async fn clean_pieces(state: &AppState) -> Result<usize> {
    let before = day_ago(state);
    let mut removed = 0;
    while !state.stopping.is_cancelled() {
        let objects = state.farm.storage().give_up_unfinished(before, AT_ONCE).await?;
        if objects.is_empty() {
            break;
        }
        removed += objects.len();
        state.blobs.discard(objects).await;
    }
    Ok(removed + clean(state, "parts", before).await?)
}

/// Clears away finished files and archived logs that no stream names. Returns how many.
pub(crate) async fn clean_whole(state: &AppState) -> Result<usize> {
    let before = day_ago(state);
    Ok(clean(state, "blobs", before).await? + clean(state, "logs", before).await?)
}

fn day_ago(state: &AppState) -> Timestamp {
    let day = i64::try_from(ORPHANED.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(state.farm.clock().now().as_micros().saturating_sub(day))
}

async fn clean(state: &AppState, prefix: &'static str, before: Timestamp) -> Result<usize> {
    let mut removed = 0;
    let mut old = state.blobs.older(prefix, before);
    while let Some(object) = old.try_next().await? {
        if state.stopping.is_cancelled() {
            break;
        }
        if !is_named(state, &object).await? {
            state.blobs.discard(vec![object]).await;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a stream names the object. What is not called as the farm calls its objects is left alone.
async fn is_named(state: &AppState, object: &str) -> Result<bool> {
    let storage = state.farm.storage();
    let words: Vec<&str> = object.split('/').collect();
    Ok(match words[..] {
        ["parts", stream, piece] => {
            let (Ok(id), Some(offset)) = (stream.parse(), leading(piece)) else { return Ok(true) };
            let parts = storage.parts(id, offset, 1).await?;
            parts.iter().any(|p| p.object == object)
        }
        ["blobs", _, name] => {
            let Some(digest) = leading::<String>(name).filter(|d| d.len() == 64) else {
                return Ok(true);
            };
            storage.objects_of(&digest).await?.iter().any(|o| o == object)
        }
        ["logs", job, name] => {
            let (Ok(job), Some(attempt)) = (job.parse(), leading(name)) else { return Ok(true) };
            let log = log_of(state, StreamOwner::Attempt { job, attempt }).await?;
            log.is_some_and(|log| log.object.as_deref() == Some(object))
        }
        _ => true,
    })
}

/// What stands before the nonce.
fn leading<T: FromStr>(name: &str) -> Option<T> {
    name.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use pybit_core::clock::{Clock, ManualClock, SystemClock};
    use pybit_core::memory::{MemoryStorage, MemoryTransport};
    use pybit_core::model::{FileSpec, StreamId};
    use pybit_core::settings::Settings;
    use pybit_core::{Farm, Policy};

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::blobs::Blobs;
    use crate::config::WebConfig;
    use crate::streams::{append, read_some};

    struct Server {
        state: AppState,
        clock: Arc<ManualClock>,
    }

    fn server() -> Server {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let farm = Farm::with_policy(
            Arc::new(MemoryStorage::default()),
            Arc::new(MemoryTransport::default()),
            [],
            Arc::clone(&clock) as Arc<dyn Clock>,
            Policy::default(),
        );
        let blobs = Blobs::open(&Settings::url("memory:")).unwrap();
        let stopping = tokio_util::sync::CancellationToken::new();
        let state = AppState::new(farm, blobs, None, WebConfig::default(), stopping).unwrap();
        Server { state, clock }
    }

    /// A file of an upload, with its first bytes.
    async fn sent(server: &Server, bytes: &'static [u8], of: &[u8]) -> StreamId {
        let sha256 = hex::encode(Sha256::digest(of));
        let file = FileSpec { name: "a".parse().unwrap(), size: of.len() as u64, sha256 };
        let storage = server.state.farm.storage();
        let upload = storage.new_upload("ann", &[file], server.clock.now()).await.unwrap();
        let stream = storage.streams(StreamOwner::Upload(upload.id)).await.unwrap().remove(0);
        let id = stream.id;
        append(&server.state, stream, 0, &Bytes::from_static(bytes)).await.unwrap();
        id
    }

    #[tokio::test]
    async fn what_nothing_names_goes_after_a_day_and_the_rest_stays() {
        let server = server();
        let (state, storage) = (&server.state, server.state.farm.storage());
        let half = sent(&server, b"ha", b"half").await;
        let whole = sent(&server, b"whole", b"whole").await;
        let object = storage.stream(whole).await.unwrap().unwrap().object.unwrap();
        let (folder, name) = object.rsplit_once('/').unwrap();
        let digest = name.split('-').next().unwrap();
        let left = [
            format!("parts/{half}/0-lost"),
            "parts/999/0-lost".to_owned(),
            format!("{folder}/{digest}-lost"),
            format!("blobs/00/{}", "0".repeat(64)),
            "logs/999/1-lost.zst".to_owned(),
        ];
        let foreign = ["parts/readme", "blobs/aa/notes", "logs/x/y"];
        for name in left.iter().map(String::as_str).chain(foreign) {
            state.blobs.put(name, Bytes::from_static(b"y")).await.unwrap();
        }
        assert_eq!(clean_pieces(state).await.unwrap(), 0, "they may yet be named");
        assert_eq!(clean_whole(state).await.unwrap(), 0);
        server.clock.advance(Duration::from_hours(25));
        assert_eq!(clean_pieces(state).await.unwrap(), 3, "two, and the piece of the half file");
        assert_eq!(clean_whole(state).await.unwrap(), 3);
        for name in &left {
            assert_eq!(state.blobs.length(name).await.unwrap(), None, "{name}");
        }
        for name in foreign {
            assert_eq!(state.blobs.length(name).await.unwrap(), Some(1), "{name}");
        }
        assert_eq!(read_some(state, whole, 0, 9).await.unwrap(), "whole");
        let again = storage.stream(half).await.unwrap().unwrap();
        assert_eq!(again.length, 0, "its sender starts again");
        append(state, again, 0, &Bytes::from_static(b"half")).await.unwrap();
        assert_eq!(read_some(state, half, 0, 9).await.unwrap(), "half");
    }

    #[tokio::test]
    async fn equal_files_are_one_object_and_an_object_of_no_file_is_none_of_them() {
        let server = server();
        let name = format!("blobs/16/{}", hex::encode(Sha256::digest(b"same")));
        server.state.blobs.put(&name, Bytes::from_static(b"same")).await.unwrap();
        let mut objects = Vec::new();
        for _ in 0..2 {
            let id = sent(&server, b"same", b"same").await;
            let stream = server.state.farm.storage().stream(id).await.unwrap().unwrap();
            objects.push(stream.object.unwrap());
        }
        assert_eq!(objects[0], objects[1]);
        assert_ne!(objects[0], name, "it may be cleared away at any moment");
    }
}
