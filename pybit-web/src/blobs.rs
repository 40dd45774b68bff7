//! Stored bytes: parts of streams on their way in, finished files, archived logs.
//!
//! | object | what |
//! |---|---|
//! | `parts/STREAM/OFFSET-NONCE` | one appended piece |
//! | `blobs/AA/SHA256` | a finished file, by its digest |
//! | `logs/JOB/ATTEMPT-NONCE.zst` | an ended log |
//!
//! What is written is durable when the call returns, and an object is never changed: it appears whole under its name.

use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path as FsPath;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use pybit_core::clock::Timestamp;
use pybit_core::settings::Settings;
use pybit_core::{Error, ErrorKind, Result};

/// How often an object is stored anew because its folder went away.
const MOST_RACES: usize = 10;

/// Where a farm's bytes lie. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

impl Blobs {
    /// Opens what the URL names: `file:///var/lib/pybit/blobs`, or `memory:` for a farm that keeps nothing.
    ///
    /// A folder is made where it is missing, for its owner alone. Another scheme is `Unsupported`.
    pub fn open(settings: &Settings) -> Result<Self> {
        let known: NoOptions = settings.options()?;
        let NoOptions {} = known;
        match settings.scheme() {
            "memory" => Ok(Self::new(Arc::new(InMemory::new()))),
            "file" => {
                let path = settings.url.trim_start_matches("file:");
                Self::folder(FsPath::new(path.strip_prefix("//").unwrap_or(path)))
            }
            _ => {
                let message = format!(
                    "there is no blob store for {}; this program knows file:, memory:",
                    settings.shown()
                );
                Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_scheme"))
            }
        }
    }

    /// Keeps them in a local folder; every write is flushed to the disk before it counts.
    pub fn folder(dir: &FsPath) -> Result<Self> {
        let fail = |e: &dyn fmt::Display| {
            let message = format!("cannot use the blob folder {}: {e}", dir.display());
            Error::new(ErrorKind::Unavailable, message)
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(|e| fail(&e))?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(|e| fail(&e))?;
        Ok(Self::new(Arc::new(store.with_fsync(true).with_automatic_cleanup(true))))
    }

    /// Keeps them in any object store.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Stores an object; it is durable when this returns.
    pub(crate) async fn put(&self, object: &str, bytes: Bytes) -> Result<()> {
        let (path, bytes) = (Path::from(object), PutPayload::from_bytes(bytes));
        let mut stored = self.store.put(&path, bytes.clone()).await;
        for _ in 0..MOST_RACES {
            // The folder's last object went just now, and the folder with it.
            if !stored.as_ref().is_err_and(is_without_folder) {
                break;
            }
            stored = self.store.put(&path, bytes.clone()).await;
        }
        stored.map(|_| ()).map_err(|e| failure("store", object, e))
    }

    /// Some bytes of an object; an absent object is `NotFound`, code `object_missing`.
    pub(crate) async fn range(&self, object: &str, from: u64, to: u64) -> Result<Bytes> {
        if from >= to {
            return Ok(Bytes::new());
        }
        let read = self.store.get_range(&Path::from(object), from..to).await;
        read.map_err(|e| failure("read", object, e))
    }

    /// The length of an object; `None` where it is absent.
    pub(crate) async fn length(&self, object: &str) -> Result<Option<u64>> {
        match self.store.head(&Path::from(object)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failure("look for", object, e)),
        }
    }

    /// Gives an object a second name; what was there under it is replaced.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let copied = self.store.copy(&Path::from(from), &Path::from(to)).await;
        copied.map_err(|e| failure("store", to, e))
    }

    /// Removes objects that nothing names any more. One that stays costs space, so a failure is only logged.
    pub(crate) async fn discard(&self, objects: Vec<String>) {
        for object in objects {
            match self.store.delete(&Path::from(object.as_str())).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(object, %error, "an object stays behind"),
            }
        }
    }

    /// Starts an object that is written in pieces and appears whole at the end.
    pub(crate) async fn writer(&self, object: &str) -> Result<Writer> {
        let upload = self.store.put_multipart(&Path::from(object)).await;
        let upload = upload.map_err(|e| failure("store", object, e))?;
        Ok(Writer { upload, object: object.to_owned(), held: Vec::new() })
    }

    /// Every object below `prefix` that was last written before `before`.
    pub(crate) async fn older(&self, prefix: &str, before: Timestamp) -> Result<Vec<String>> {
        let all = self.store.list(Some(&Path::from(prefix)));
        let old = all.try_filter_map(|meta| async move {
            let old = meta.last_modified.timestamp_micros() < before.as_micros();
            Ok(old.then(|| meta.location.to_string()))
        });
        old.try_collect().await.map_err(|e| failure("list", prefix, e))
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blobs({})", self.store)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// An object that is being written.
pub(crate) struct Writer {
    upload: Box<dyn MultipartUpload>,
    object: String,
    held: Vec<u8>,
}

/// Object stores want pieces of at least 5 MiB, all but the last.
const PIECE: usize = 8 << 20;

impl Writer {
    /// Appends.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        let piece = PutPayload::from(std::mem::take(&mut self.held));
        self.upload.put_part(piece).await.map_err(|e| failure("store", &self.object, e))
    }

    /// Makes the object appear, durable.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let sent = self.send().await;
        let done = match sent {
            Ok(()) => self.upload.complete().await.map_err(|e| failure("store", &self.object, e)),
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => Ok(()),
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    /// Forgets what was written.
    pub(crate) async fn abandon(mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(object = self.object, %error, "an unfinished object stays behind");
        }
    }
}

/// The failure of an object store, told by what is behind it: a full disk is `Full`, an absent object `NotFound`.
fn failure(verb: &str, object: &str, error: object_store::Error) -> Error {
    if matches!(error, object_store::Error::NotFound { .. }) {
        let message = format!("the stored object {object} is not there");
        return Error::not_found(message).with_code("object_missing").with_source(error);
    }
    if is_full(&error) {
        let message = "there is no space left for files and logs; free some, then send it again";
        return Error::new(ErrorKind::Full, message).with_code("full").with_source(error);
    }
    let message = format!("cannot {verb} the object {object}");
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

fn is_without_folder(error: &object_store::Error) -> bool {
    let absent = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(absent) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
        {
            return true;
        }
        cause = error.source();
    }
    false
}
