//! Files that wait for their description: objects of the blob store, so that any server can take each of them.
//!
//! An object is named by digests of the token's name and of the file's: a file that is sent again replaces the first.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use pybit_core::clock::Timestamp;
use pybit_core::model::{FileName, FileSpec, Principal};
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::DputConfig;
use super::on_the_way::Amount;
use crate::app::AppState;

/// What every staged object's name starts with.
const ROOM: &str = "dput";

/// The files of one token that wait here.
#[derive(Debug)]
pub(crate) struct Staging<'a> {
    state: &'a AppState,
    room: String,
}

impl<'a> Staging<'a> {
    pub(crate) fn of(state: &'a AppState, who: &Principal) -> Self {
        Self { state, room: format!("{ROOM}/{}", digest(&who.name)) }
    }

    fn config(&self) -> &DputConfig {
        &self.state.dput.config
    }

    /// Where a file waits.
    pub(super) fn object(&self, name: &FileName) -> String {
        format!("{}/{}", self.room, digest(name.as_str()))
    }

    /// Takes a file whole or not at all; `declared` is the length that its sender has told.
    ///
    /// Fails, `TooLarge`, code `staging_full`, where the token's files would be too many or too long together, with those that are
    /// still on their way to this server. One whose length was not told takes all the room there is until it has arrived.
    pub(crate) async fn take(
        &self,
        name: &FileName,
        declared: Option<u64>,
        body: impl Stream<Item = std::io::Result<Bytes>>,
    ) -> Result<()> {
        let object = self.object(name);
        let most = declared.unwrap_or(self.config().most_bytes);
        let (_arriving, before) = self.state.dput.on_the_way.enter(&self.room, most);
        let left = self.left(&object, before).await?;
        if declared.is_some_and(|length| length > left) {
            return Err(self.full());
        }
        let mut writer = self.state.blobs.writer(&object);
        match fill(&mut writer, body, left).await {
            Ok(true) => writer.finish().await,
            Ok(false) => {
                writer.abandon().await;
                Err(self.full())
            }
            Err(error) => {
                writer.abandon().await;
                Err(error)
            }
        }
    }

    /// Bytes that may still come as `object`, after what is `on_the_way`.
    async fn left(&self, object: &str, on_the_way: Amount) -> Result<u64> {
        let all = self.state.blobs.lengths(&self.room).await?;
        let others = all.iter().filter(|(name, _)| name != object);
        let (count, bytes) =
            others.fold(on_the_way, |(n, sum), (_, len)| (n + 1, sum.saturating_add(*len)));
        if count >= self.config().most_files {
            return Err(self.full());
        }
        Ok(self.config().most_bytes.saturating_sub(bytes))
    }

    fn full(&self) -> Error {
        let DputConfig { most_bytes, most_files, .. } = self.config();
        let message = format!(
            "at most {most_files} files of {most_bytes} bytes together may wait for their .changes"
        );
        Error::new(ErrorKind::TooLarge, message).with_code("staging_full")
    }

    /// Refuses, `Invalid`, code `files_missing` or `file_differs`, what is not here or has another length than listed.
    pub(super) async fn check(&self, files: &[FileSpec]) -> Result<()> {
        for file in files {
            match self.state.blobs.length(&self.object(&file.name)).await? {
                Some(length) if length == file.size => {}
                Some(length) => {
                    let message = format!(
                        "{} has {length} bytes, and the .changes says {}",
                        file.name, file.size
                    );
                    return Err(Error::invalid(message).with_code("file_differs"));
                }
                None => {
                    let message = format!(
                        "the .changes lists {}, which was not sent; send it before the .changes",
                        file.name
                    );
                    return Err(Error::invalid(message).with_code("files_missing"));
                }
            }
        }
        Ok(())
    }

    /// Some bytes of a file.
    pub(super) async fn read(&self, name: &FileName, from: u64, to: u64) -> Result<Bytes> {
        self.state.blobs.range(&self.object(name), from, to).await
    }

    /// Forgets files whose upload has arrived.
    pub(super) async fn forget(&self, files: &[FileSpec]) {
        self.state.blobs.discard(files.iter().map(|f| self.object(&f.name)).collect()).await;
    }
}

/// Writes what comes; `false` where it is longer than `most`.
async fn fill(
    writer: &mut crate::blobs::Writer,
    body: impl Stream<Item = std::io::Result<Bytes>>,
    most: u64,
) -> Result<bool> {
    let mut body = pin!(body);
    let mut length = 0_u64;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| {
            Error::new(ErrorKind::Malformed, "the body ended before all of it had arrived")
                .with_code("cut_off")
        })?;
        length += chunk.len() as u64;
        if length > most {
            return Ok(false);
        }
        writer.write(&chunk).await?;
    }
    Ok(true)
}

/// Removes files whose description never came; returns how many.
pub(crate) async fn expire(state: &AppState) -> Result<usize> {
    let patience = Duration::from_secs(state.dput.config.expire_secs).as_micros();
    let patience = i64::try_from(patience).unwrap_or(i64::MAX);
    let now = state.farm.clock().now().as_micros();
    let before = Timestamp::from_micros(now.saturating_sub(patience));
    let old: Vec<String> = state.blobs.older(ROOM, before).try_collect().await?;
    let count = old.len();
    state.blobs.discard(old).await;
    Ok(count)
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;
    use pybit_core::clock::{Clock, ManualClock, SystemClock};
    use pybit_core::memory::{MemoryStorage, MemoryTransport};
    use pybit_core::model::{Grant, Role};
    use pybit_core::settings::Settings;
    use pybit_core::{Farm, Policy};

    use super::*;
    use crate::blobs::Blobs;
    use crate::config::WebConfig;

    fn state(clock: &Arc<ManualClock>) -> AppState {
        limited(clock, DputConfig::default())
    }

    fn limited(clock: &Arc<ManualClock>, dput: DputConfig) -> AppState {
        let farm = Farm::with_policy(
            Arc::new(MemoryStorage::default()),
            Arc::new(MemoryTransport::default()),
            [],
            Arc::clone(clock) as Arc<dyn Clock>,
            Policy::default(),
        );
        let blobs = Blobs::open(&Settings::url("memory:")).unwrap();
        let stopping = tokio_util::sync::CancellationToken::new();
        let config = WebConfig { dput, ..WebConfig::default() };
        AppState::new(farm, blobs, None, config, stopping).unwrap()
    }

    fn principal(name: &str) -> Principal {
        Principal { name: name.to_owned(), grant: Grant::of(Role::Submit) }
    }

    fn body(
        pieces: Vec<std::io::Result<&'static str>>,
    ) -> impl Stream<Item = std::io::Result<Bytes>> {
        stream::iter(pieces).map(|piece| piece.map(|text| Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn files_wait_for_a_day_and_each_for_its_own_token() {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let state = state(&clock);
        let (ann, bob) = (principal("ann"), principal("bob"));
        let (ann, bob) = (Staging::of(&state, &ann), Staging::of(&state, &bob));
        let name: FileName = "x_1.0~rc1.dsc".parse().unwrap();
        ann.take(&name, Some(5), body(vec![Ok("wai"), Ok("ts")])).await.unwrap();
        let listed = |size| [FileSpec { name: name.clone(), size, sha256: "0".repeat(64) }];
        ann.check(&listed(5)).await.unwrap();
        assert_eq!(ann.read(&name, 0, 5).await.unwrap(), "waits");
        assert_eq!(ann.check(&listed(6)).await.unwrap_err().code(), "file_differs");
        assert_eq!(bob.check(&listed(5)).await.unwrap_err().code(), "files_missing");

        let broken = body(vec![Ok("half"), Err(std::io::ErrorKind::ConnectionReset.into())]);
        assert_eq!(ann.take(&name, Some(9), broken).await.unwrap_err().code(), "cut_off");
        assert_eq!(ann.read(&name, 0, 5).await.unwrap(), "waits", "a cut off file is none");

        assert_eq!(expire(&state).await.unwrap(), 0);
        clock.advance(Duration::from_hours(25));
        assert_eq!(expire(&state).await.unwrap(), 1);
        assert_eq!(ann.check(&listed(5)).await.unwrap_err().code(), "files_missing");
    }

    #[tokio::test]
    async fn two_files_at_once_share_what_one_token_may_have_here() {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let limits = DputConfig { most_bytes: 10, most_files: 2, ..DputConfig::default() };
        let state = limited(&clock, limits);
        let (ann, bob) = (principal("ann"), principal("bob"));
        let (ann, bob) = (Staging::of(&state, &ann), Staging::of(&state, &bob));
        let name = |text: &str| -> FileName { text.parse().unwrap() };
        let (first, second) = (name("first.tar"), name("second.tar"));
        for declared in [Some(6), None] {
            let (arrive, comes) = tokio::sync::oneshot::channel::<()>();
            let (enter, entered) = tokio::sync::oneshot::channel::<()>();
            let slow = stream::once(async {
                enter.send(()).unwrap();
                comes.await.unwrap();
                Ok(Bytes::from_static(b"sixsix"))
            });
            let taking = ann.take(&first, declared, slow);
            let meanwhile = async {
                entered.await.unwrap();
                let full = ann.take(&second, Some(5), body(vec![Ok("fives")])).await.unwrap_err();
                assert_eq!(full.code(), "staging_full");
                bob.take(&second, Some(5), body(vec![Ok("fives")])).await.unwrap();
                arrive.send(()).unwrap();
            };
            let (taken, ()) = tokio::join!(taking, meanwhile);
            taken.unwrap();
        }
        ann.take(&second, Some(4), body(vec![Ok("four")])).await.unwrap();
        let third = ann.take(&name("third.tar"), Some(0), body(vec![])).await.unwrap_err();
        assert_eq!(third.code(), "staging_full");
    }
}
