//! Joins a log's small pieces, so that a chatty build does not leave thousands of objects.

use bytes::BytesMut;
use pybit_core::Result;
use pybit_core::model::{NewPart, Part, StreamId};

use super::nonce;
use crate::app::AppState;

/// A piece shorter than this is small.
const SMALL: u64 = 64 << 10;
/// Joined pieces are at most this long.
const JOINED: u64 = 1 << 20;
/// Fewer small pieces in a row than this are left alone.
const FEWEST: usize = 16;

/// Joins every long enough run of small pieces.
pub(super) async fn merge_small(state: &AppState, id: StreamId) -> Result<()> {
    let parts = state.farm.storage().parts(id, 0, 10_000).await?;
    for run in runs(&parts) {
        merge(state, id, run).await?;
    }
    Ok(())
}

/// Runs of neighbouring small pieces that are worth joining.
fn runs(parts: &[Part]) -> Vec<&[Part]> {
    let mut runs = Vec::new();
    let (mut start, mut length) = (0, 0);
    for (at, part) in parts.iter().enumerate() {
        if part.length >= SMALL || length + part.length > JOINED {
            runs.push(&parts[start..at]);
            start = if part.length >= SMALL { at + 1 } else { at };
            length = 0;
        }
        if part.length < SMALL {
            length += part.length;
        }
    }
    runs.push(&parts[start.min(parts.len())..]);
    runs.retain(|run| run.len() >= FEWEST);
    runs
}

async fn merge(state: &AppState, id: StreamId, run: &[Part]) -> Result<()> {
    let mut bytes = BytesMut::new();
    for part in run {
        bytes.extend_from_slice(&state.blobs.range(&part.object, 0, part.length).await?);
    }
    let offset = run.first().map_or(0, |p| p.offset);
    let object = format!("parts/{id}/{offset:020}-{}", nonce());
    let into = NewPart { offset, length: bytes.len() as u64, object };
    state.blobs.put(&into.object, bytes.freeze()).await?;
    if state.farm.storage().merge_parts(id, &into).await? {
        state.blobs.discard(run.iter().map(|p| p.object.clone()).collect()).await;
    } else {
        state.blobs.discard(vec![into.object]).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lengths: &[u64]) -> Vec<Part> {
        let part = |offset: &mut u64, length: &u64| {
            let part = Part { offset: *offset, length: *length, object: String::new() };
            *offset += length;
            Some(part)
        };
        lengths.iter().scan(0, part).collect()
    }

    #[test]
    fn only_runs_of_small_pieces_are_joined_and_never_too_long() {
        assert!(runs(&[]).is_empty());
        assert!(runs(&parts(&[100; 15])).is_empty());
        assert_eq!(runs(&parts(&[100; 20])).len(), 1);
        let mixed = [&[100; 20][..], &[SMALL], &[100; 3], &[SMALL], &[60_000; 40]].concat();
        let mixed = parts(&mixed);
        let runs = runs(&mixed);
        assert_eq!(runs.iter().map(|r| r.len()).collect::<Vec<_>>(), [20, 17, 17]);
        for run in runs {
            assert!(run.iter().map(|p| p.length).sum::<u64>() <= JOINED);
            assert!(run.windows(2).all(|w| w[0].offset + w[0].length == w[1].offset));
        }
    }
}
