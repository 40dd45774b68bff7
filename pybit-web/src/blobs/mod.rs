//! Stored bytes: parts of streams on their way in, finished files, archived logs.
//!
//! | object | what |
//! |---|---|
//! | `parts/STREAM/OFFSET-NONCE` | one appended piece |
//! | `blobs/AA/SHA256-NONCE` | a finished file, by its digest |
//! | `logs/JOB/ATTEMPT-NONCE.zst` | an ended log |
//! | `dput/TOKEN/NAME` | a file that waits for its `.changes` |
//!
//! | module | does |
//! |---|---|
//! | `open` | the URL's store: a folder, memory, S3 |
//! | `s3` | the keys of an S3 store, its credentials, its limits |
//! | `writer` | objects that are longer than what is held in memory |
//! | `failure` | an object store's failure in the farm's words |
//! | `conformance` | the contract of [`Blobs`], a case for each promise, run on every store |

#[cfg(test)]
mod conformance;
mod failure;
mod open;
#[cfg(feature = "s3")]
mod s3;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use pybit_core::clock::Timestamp;
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::time::Instant;

use failure::failure;
pub(crate) use writer::Writer;

/// How often an object is stored anew because its folder went away.
const MOST_RACES: usize = 10;

/// Where a farm's bytes lie. Cheap to clone.
///
/// The contract, each point a case of `conformance`:
///
/// - What was put is read back, whole and by range, and is durable when the call returns.
/// - An empty object is an object.
/// - A name that is taken is refused: `Conflict`, code `object_exists`; the object stays as it was. The same bytes once more
///   are no change, so that a call whose answer was lost can be made again.
/// - Of several that put one name at once, the object is whole, and one wins where the store decides races: folders and
///   memory do, and S3 as Amazon describes it. Nothing may depend on it: names hold 64 random bits.
/// - An absent object has no length, and reading it is `NotFound`, code `object_missing`.
/// - Discarding is idempotent: an absent object is no failure, and those after it go too.
/// - A copy is an object of its own: the first can go.
/// - A name of any characters is one name below the prefix: `..`, a leading `/` or other alphabets lead nowhere else.
/// - A writer's object appears whole at its end, and not at all when it is abandoned.
/// - A writer holds a bounded piece in memory, however long its object is.
/// - Objects are listed by prefix and age.
/// - Two farms with different prefixes (folders) do not see each other's objects.
/// - A check writes, reads and removes a small object, and leaves nothing.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// What messages call it: never with a secret.
    shown: Arc<str>,
    /// When it last passed its check.
    checked: Arc<Mutex<Option<Instant>>>,
}

/// A check that was passed holds for this long: whoever may ask must not make a store busy.
const FRESH: Duration = Duration::from_secs(5);

impl Blobs {
    /// Keeps them in any object store; `shown` names it in messages: `the blob folder /srv/blobs`.
    pub fn new(store: Arc<dyn ObjectStore>, shown: &str) -> Self {
        Self { store, shown: shown.into(), checked: Arc::default() }
    }

    /// Writes, reads and removes a small object. What keeps the store from that is told in one sentence that names it.
    pub async fn check(&self) -> Result<()> {
        let mut checked = self.checked.lock().await;
        if checked.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        *checked = None;
        // The name of a piece that no stream has: if this ends halfway, the cleaning removes it.
        let object = format!("parts/0/0-{}", hex::encode(rand::random::<[u8; 8]>()));
        let bytes = Bytes::from_static(b"pybit checks its store");
        self.put(&object, bytes.clone()).await?;
        let read = self.range(&object, 0, bytes.len() as u64).await;
        let gone = self.store.delete(&Path::from(object.as_str())).await;
        if read? != bytes {
            let message = format!("{} gives back other bytes than were stored", self.shown);
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        gone.map_err(|e| self.failure("remove", &object, e))?;
        *checked = Some(Instant::now());
        Ok(())
    }

    /// Stores an object under a name that nobody else has chosen; it is durable when this returns.
    pub(crate) async fn put(&self, object: &str, bytes: Bytes) -> Result<()> {
        let (path, payload) = (Path::from(object), PutPayload::from_bytes(bytes.clone()));
        let put = || self.store.put_opts(&path, payload.clone(), PutMode::Create.into());
        let mut stored = put().await;
        for _ in 0..MOST_RACES {
            // The folder's last object went just now, and the folder with it.
            if !stored.as_ref().is_err_and(failure::is_without_folder) {
                break;
            }
            stored = put().await;
        }
        match stored {
            Ok(_) => Ok(()),
            // Our own call may have been here already, and its answer been lost.
            Err(object_store::Error::AlreadyExists { .. }) => self.is_same(object, &bytes).await,
            Err(error) => Err(self.failure("store", object, error)),
        }
    }

    async fn is_same(&self, object: &str, bytes: &Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        if self.length(object).await? == Some(length)
            && self.range(object, 0, length).await? == bytes
        {
            return Ok(());
        }
        let message = format!("there is another object {object} already");
        Err(Error::conflict(message).with_code("object_exists"))
    }

    /// Some bytes of an object; an absent object is `NotFound`, code `object_missing`.
    pub(crate) async fn range(&self, object: &str, from: u64, to: u64) -> Result<Bytes> {
        if from >= to {
            return Ok(Bytes::new());
        }
        let read = self.store.get_range(&Path::from(object), from..to).await;
        read.map_err(|e| self.failure("read", object, e))
    }

    /// The length of an object; `None` where it is absent.
    pub(crate) async fn length(&self, object: &str) -> Result<Option<u64>> {
        match self.store.head(&Path::from(object)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failure("look for", object, e)),
        }
    }

    /// Gives an object a second name; what was there under it is replaced.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let copied = self.store.copy(&Path::from(from), &Path::from(to)).await;
        copied.map_err(|e| self.failure("copy", from, e))
    }

    /// Removes objects that nothing names any more. One that stays costs space, so a failure is only logged.
    pub(crate) async fn discard(&self, objects: Vec<String>) {
        let names = stream::iter(objects).map(|object| Ok(Path::from(object)));
        let mut removed = self.store.delete_stream(names.boxed());
        while let Some(each) = removed.next().await {
            match each {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, "an object stays behind"),
            }
        }
    }

    /// Starts an object that is written in pieces and appears whole at the end; one of that name is replaced.
    pub(crate) fn writer(&self, object: &str) -> Writer {
        Writer::new(self.clone(), object)
    }

    /// Every object below `prefix` that was last written before `before`, as the store lists them: there may be millions.
    pub(crate) fn older(
        &self,
        prefix: &'static str,
        before: Timestamp,
    ) -> BoxStream<'static, Result<String>> {
        let shown = Arc::clone(&self.shown);
        let all = self.store.list(Some(&Path::from(prefix)));
        let old = all.try_filter_map(move |meta| async move {
            let old = meta.last_modified.timestamp_micros() < before.as_micros();
            Ok(old.then(|| meta.location.to_string()))
        });
        old.map_err(move |e| failure(&shown, "list", prefix, e)).boxed()
    }

    /// Every object below `prefix`, with its length in bytes.
    pub(crate) async fn lengths(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let all = self.store.list(Some(&Path::from(prefix)));
        let all = all.map_ok(|meta| (meta.location.to_string(), meta.size));
        all.try_collect().await.map_err(|e| self.failure("list", prefix, e))
    }

    fn failure(&self, verb: &str, object: &str, error: object_store::Error) -> Error {
        failure(&self.shown, verb, object, error)
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blobs({})", self.shown)
    }
}
