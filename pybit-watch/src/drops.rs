//! Drop directories: complete uploads are published, refused ones go to `rejected/` with the reason.
//!
//! An upload is complete when its description can be read whole and every file that it lists is there with the listed
//! size and digest. What is not complete yet is waited for, by inotify and a rescan; nothing sleeps for a fixed time.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pybit_core::base::there;
use pybit_core::model::{FileName, FileSpec};
use pybit_core::owners::NamePolicy;
use pybit_core::publish::{Publication, PublishSet, Publisher};
use pybit_core::upload::Signer;
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::config::{DropConfig, cannot_make};
use crate::dropped::{Drop, DropReader};
use crate::inotify::DirectoryWatch;
use crate::names::Teller;
use crate::rejected::{REJECTED, open_file, put_away};
use crate::signed::Signatures;
use crate::submitted::Submits;

/// A directory is looked at again after this long without an event.
const RESCAN: Duration = Duration::from_secs(30);
/// The longest description that is read.
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// Publishes what arrives in one directory.
#[derive(Debug, Clone)]
pub(crate) struct Drops {
    config: DropConfig,
    publisher: Arc<dyn Publisher>,
    names: Arc<dyn NamePolicy>,
    teller: Option<Arc<Teller>>,
    reader: Arc<dyn DropReader>,
    signatures: Option<Signatures>,
    submits: Option<Submits>,
    work_dir: PathBuf,
}

/// What became of one look at a described upload.
#[derive(Debug)]
enum Look {
    /// Every file is there and right, copied where nobody else can change it; with the description's bytes.
    Complete(Drop, tempfile::TempDir, Vec<u8>),
    /// Something is still on its way.
    Incomplete(String),
    /// All that is there contradicts the description; it may still be overwritten.
    Wrong(String),
}

/// How an upload looked, to see whether it still changes: size and change time of each file.
type Fingerprint = Vec<(String, u64, i64, i64)>;

impl Drops {
    pub(crate) fn new(
        config: DropConfig,
        publisher: Arc<dyn Publisher>,
        names: (Arc<dyn NamePolicy>, Option<Arc<Teller>>),
        reader: Arc<dyn DropReader>,
        signatures: Option<Signatures>,
        submits: Option<Submits>,
        work_dir: PathBuf,
    ) -> Self {
        let (names, teller) = names;
        Self { config, publisher, names, teller, reader, signatures, submits, work_dir }
    }

    /// Works until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut wrong: HashMap<PathBuf, (Fingerprint, Instant)> = HashMap::new();
        while !stop.is_cancelled() {
            let watch = match self.watch() {
                Ok(watch) => watch,
                Err(error) => {
                    tracing::error!(dir = %self.config.dir.display(), error = %error, "cannot watch; trying again");
                    tokio::select! { () = tokio::time::sleep(RESCAN) => continue, () = stop.cancelled() => return }
                }
            };
            while !stop.is_cancelled() {
                if let Err(error) = self.round(&mut wrong).await {
                    tracing::warn!(dir = %self.config.dir.display(), error = %error, "a drop was not published; trying again");
                }
                let pause = if wrong.is_empty() { RESCAN } else { self.refuse_after().min(RESCAN) };
                tokio::select! { () = watch.changed(pause) => {}, () = stop.cancelled() => {} }
            }
        }
    }

    fn watch(&self) -> Result<DirectoryWatch> {
        std::fs::create_dir_all(self.rejected()).map_err(|e| cannot_make(&self.rejected(), &e))?;
        DirectoryWatch::new(&self.config.dir)
    }

    fn rejected(&self) -> PathBuf {
        self.config.dir.join(REJECTED)
    }

    fn refuse_after(&self) -> Duration {
        Duration::from_secs(self.config.refuse_after_secs)
    }

    /// Looks at every description once.
    async fn round(&self, wrong: &mut HashMap<PathBuf, (Fingerprint, Instant)>) -> Result<()> {
        let descriptions = self.descriptions()?;
        wrong.retain(|path, _| descriptions.contains(path));
        let mut failure = None;
        for path in descriptions {
            match self.look_aside(&path).await {
                Ok(Look::Complete(drop, staged, described)) => {
                    wrong.remove(&path);
                    let taken = self.take(&path, &drop, staged.path(), &described).await;
                    if let Err(error) = taken {
                        failure = Some(error);
                    }
                }
                Ok(Look::Incomplete(what)) => {
                    tracing::debug!(drop = %path.display(), %what, "not complete yet");
                    wrong.remove(&path);
                }
                Ok(Look::Wrong(why)) => self.doubt(&path, &why, wrong)?,
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Descriptions in the directory: regular files with plain names, never links.
    fn descriptions(&self) -> Result<Vec<PathBuf>> {
        let fail = |e: std::io::Error| unreadable(&self.config.dir, &e);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.config.dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_file = entry.file_type().is_ok_and(|t| t.is_file());
            if is_file && name.parse::<FileName>().is_ok() && self.reader.is_description(&name) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// [`look`](Self::look) on a thread of its own: it reads and digests whole files.
    async fn look_aside(&self, path: &Path) -> Result<Look> {
        let (drops, path) = (self.clone(), path.to_owned());
        let looked = tokio::task::spawn_blocking(move || drops.look(&path)).await;
        looked.map_err(|e| Error::internal("looking at a drop panicked").with_source(e))?
    }

    fn look(&self, path: &Path) -> Result<Look> {
        let Some(bytes) = read_bounded(path)? else {
            return Ok(Look::Wrong(format!(
                "its description is longer than {LONGEST_DESCRIPTION} bytes"
            )));
        };
        let drop = match self.reader.read(&bytes) {
            Ok(drop) => drop,
            Err(error) => return Ok(Look::Wrong(error.message().to_owned())),
        };
        let staged = tempfile::Builder::new()
            .prefix("drop-")
            .tempdir_in(&self.work_dir)
            .map_err(|e| cannot_make(&self.work_dir, &e))?;
        for file in &drop.files {
            if let Some(fault) = self.stage(file, staged.path())? {
                return Ok(fault);
            }
        }
        Ok(Look::Complete(drop, staged, bytes))
    }

    /// Copies one listed file to where nobody else can change it, checking size and digest of the copied bytes; says
    /// what stands against it.
    fn stage(&self, file: &FileSpec, staged: &Path) -> Result<Option<Look>> {
        let from = self.config.dir.join(file.name.as_str());
        let Ok(meta) = std::fs::symlink_metadata(&from) else {
            return Ok(Some(Look::Incomplete(format!("{} is not there", file.name))));
        };
        if !meta.is_file() {
            return Ok(Some(Look::Wrong(format!("{} is not a regular file", file.name))));
        }
        if meta.len() < file.size {
            return Ok(Some(Look::Incomplete(format!(
                "{} has {} of {} bytes",
                file.name,
                meta.len(),
                file.size
            ))));
        }
        let to = staged.join(file.name.as_str());
        let (size, sha256) = copy_and_digest(&from, &to, file.size)?;
        if size != file.size || sha256 != file.sha256 {
            return Ok(Some(Look::Wrong(format!(
                "{} is not the file that the description lists: size or SHA-256 differ",
                file.name
            ))));
        }
        Ok(None)
    }

    /// What is wrong may still be on its way; refused once it has not changed for a while.
    fn doubt(
        &self,
        path: &Path,
        why: &str,
        wrong: &mut HashMap<PathBuf, (Fingerprint, Instant)>,
    ) -> Result<()> {
        let now = Instant::now();
        let looks = self.fingerprint(path);
        let since = match wrong.get(path) {
            Some((before, since)) if *before == looks => *since,
            _ => now,
        };
        if now.duration_since(since) < self.refuse_after() {
            wrong.insert(path.to_owned(), (looks, since));
            return Ok(());
        }
        wrong.remove(path);
        self.reject(path, why)
    }

    fn fingerprint(&self, path: &Path) -> Fingerprint {
        let mut names: Vec<String> = self.listed(path);
        names.extend(path.file_name().map(|n| n.to_string_lossy().into_owned()));
        let look = |name: String| {
            let meta = std::fs::symlink_metadata(self.config.dir.join(&name));
            meta.map(|m| (name.clone(), m.size(), m.mtime(), m.mtime_nsec()))
                .unwrap_or((name, 0, 0, 0))
        };
        names.into_iter().map(look).collect()
    }

    /// Names of the files that a description lists, as far as it can be read.
    fn listed(&self, path: &Path) -> Vec<String> {
        let read =
            read_bounded(path).ok().flatten().and_then(|bytes| self.reader.read(&bytes).ok());
        read.map(|d| d.files.iter().map(|f| f.name.to_string()).collect()).unwrap_or_default()
    }

    /// Publishes a complete upload, or lets the farm build it, if it is signed where that is asked for.
    async fn take(&self, path: &Path, drop: &Drop, staged: &Path, described: &[u8]) -> Result<()> {
        let signer = match &self.signatures {
            None => None,
            Some(signatures) => match signatures.signer(described, drop, staged).await? {
                Ok(signer) => Some(signer),
                Err(why) => return self.reject(path, &why),
            },
        };
        let source = self.reader.source_alone(drop);
        let Some((submits, main)) = self.submits.as_ref().zip(source) else {
            if let Some(why) = self.refusal_of_source(drop, signer.as_ref()).await? {
                return self.reject(path, &why);
            }
            return self.publish(path, drop, staged, described).await;
        };
        match submits.submit(drop, main, staged, described).await? {
            None => self.remove(path, drop),
            Some(why) => self.reject(path, &why),
        }
    }

    /// Why ready binaries are refused whose source bears a name of the base distribution. The digest of the `.dsc` beside
    /// them proves nothing of the binaries, so the names are for those whom the configuration trusts with them.
    async fn refusal_of_source(
        &self,
        drop: &Drop,
        signer: Option<&Signer>,
    ) -> Result<Option<String>> {
        if self.config.names.iter().any(|names| names.cover(&drop.package, signer)) {
            return Ok(None);
        }
        let known = self.names.facts(&drop.package, &[]).await?.sources;
        Ok((!known.is_empty()).then(|| {
            format!(
                "{} is a source package of the base distribution{}, and ready binaries of that name are \
                 taken only from those whom `names` in [[watch.drops]] allows it; let the farm build the source, or give the \
                 package another name",
                drop.package,
                there(&known)
            )
        }))
    }

    async fn publish(
        &self,
        path: &Path,
        drop: &Drop,
        staged: &Path,
        described: &[u8],
    ) -> Result<()> {
        let place = |file: &FileSpec| (file.clone(), staged.join(file.name.as_str()));
        let (source, result): (Vec<_>, Vec<_>) = drop
            .files
            .iter()
            .map(place)
            .partition(|(f, _)| self.reader.is_source_file(drop, f.name.as_str()));
        let set = PublishSet {
            id: Some(set_id(path, described)?),
            package: drop.package.clone(),
            version: drop.version.clone(),
            files: result,
            source_files: source,
        };
        match self.publisher.publish(&set, &*self.names).await? {
            Publication::Published(snapshot) => {
                tracing::info!(drop = %path.display(), repository = %self.config.repository, %snapshot, "published");
                self.remove(path, drop)?;
                if let Some(teller) = &self.teller
                    && let Err(error) = teller.tell().await
                {
                    tracing::warn!(repository = %self.config.repository, error = %error, "the farm does not know the repository's packages yet");
                }
                Ok(())
            }
            Publication::Rejected(reason) => self.reject(path, &reason),
        }
    }

    /// Takes a published upload away, its description last: a watcher that is killed here publishes the same bytes again.
    fn remove(&self, path: &Path, drop: &Drop) -> Result<()> {
        let files = drop.files.iter().map(|f| self.config.dir.join(f.name.as_str()));
        for file in files.chain([path.to_owned()]) {
            match std::fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(unreadable(&file, &e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves a refused upload to `rejected/NAME/`, with `reason.txt` beside it.
    fn reject(&self, path: &Path, reason: &str) -> Result<()> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        tracing::warn!(drop = %name, %reason, "refused");
        let mut files = self.listed(path);
        files.push(name.clone());
        put_away(&self.config.dir, &name, &files, reason)
    }
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
        ErrorKind::Full
    } else {
        ErrorKind::Unavailable
    };
    Error::new(kind, format!("{}: {error}", path.display()))
}

/// The name of an upload. The same bytes that are dropped again, after a removal, are another file and so another upload.
fn set_id(path: &Path, described: &[u8]) -> Result<String> {
    let meta = std::fs::symlink_metadata(path).map_err(|e| unreadable(path, &e))?;
    let (changed, digest) =
        ((meta.ctime(), meta.ctime_nsec()), hex::encode(Sha256::digest(described)));
    Ok(format!("drop {digest} in {}:{} of {}.{:09}", meta.dev(), meta.ino(), changed.0, changed.1))
}

/// The whole of a file, `None` where it is longer than a description may be.
fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>> {
    let fail = |e: std::io::Error| unreadable(path, &e);
    let mut bytes = Vec::new();
    let file = open_file(path).map_err(fail)?;
    file.take(LONGEST_DESCRIPTION + 1).read_to_end(&mut bytes).map_err(fail)?;
    Ok((bytes.len() as u64 <= LONGEST_DESCRIPTION).then_some(bytes))
}

/// Copies at most one byte more than `expected`, and says how many bytes with which SHA-256 were copied.
fn copy_and_digest(from: &Path, to: &Path, expected: u64) -> Result<(u64, String)> {
    let mut source = open_file(from).map_err(|e| unreadable(from, &e))?.take(expected + 1);
    let mut copy = std::fs::File::create_new(to).map_err(|e| unreadable(to, &e))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let n = source.read(&mut buffer).map_err(|e| unreadable(from, &e))?;
        if n == 0 {
            return Ok((size, hex::encode(digest.finalize())));
        }
        digest.update(&buffer[..n]);
        copy.write_all(&buffer[..n]).map_err(|e| unreadable(to, &e))?;
        size += n as u64;
    }
}
