//! Fetching the indices of an rpm distribution's repositories, and checking their signatures.

use std::fs::File;
use std::path::{Path, PathBuf};

use pybit_core::base::BaseSuite;
use pybit_core::clock::Timestamp;
use pybit_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use url::Url;

use super::config::RpmArchive;
use super::detached::{self, MAX_SIGNATURE};
use super::http::Http;
use super::index::{NameIndex, bad};
use super::primary::{self, MAX_REPOMD, Primary};
use crate::exec::Exec;

/// The largest packed `primary.xml`, in bytes.
const MAX_PRIMARY: u64 = 512 << 20;
/// The file that says of which repositories the files beside it are.
const STATE: &str = "state.json";

/// The repositories of one suite.
#[derive(Debug)]
pub(super) struct SuiteRpm<'a> {
    pub(super) exec: &'a Exec,
    /// Its directory.
    pub(super) root: PathBuf,
    pub(super) suite: &'a BaseSuite,
    pub(super) archive: &'a RpmArchive,
}

/// The fetched indices, as `state.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    /// Microseconds since 1970.
    fetched_at: i64,
    /// The configuration that they were fetched with.
    archive: RpmArchive,
    parts: Vec<Part>,
}

/// The index of one repository. Its `primary.xml` is the file with its number as name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part {
    url: Url,
    primary: Primary,
}

impl SuiteRpm<'_> {
    /// When the indices that lie here were fetched; nothing where they are those of another configuration.
    pub(super) fn fetched_at(&self) -> Option<Timestamp> {
        let state = self.state().filter(|state| state.archive == *self.archive)?;
        Some(Timestamp::from_micros(state.fetched_at))
    }

    fn state(&self) -> Option<State> {
        let text = std::fs::read(self.current().join(STATE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Reads the indices that lie here; their signatures were checked when they were fetched.
    pub(super) async fn read(&self) -> Result<NameIndex> {
        let state = self.state().ok_or_else(|| self.failed("none was fetched"))?;
        self.read_parts(self.current(), state.parts).await
    }

    /// Fetches the indices. Those that no key of the configuration has signed, that are older than what is there, or that cannot be read
    /// are refused, and what was there before stays.
    pub(super) async fn fetch(&self, now: Timestamp) -> Result<NameIndex> {
        std::fs::create_dir_all(&self.root).map_err(|e| Self::disk("make", &self.root, e))?;
        let _turn = self.lock()?;
        self.fetch_parts(now).await.map_err(|e| match e.kind() {
            ErrorKind::Busy | ErrorKind::Internal => e,
            _ => self.failed(e.message()),
        })
    }

    async fn fetch_parts(&self, now: Timestamp) -> Result<NameIndex> {
        let (new, current, old) = (self.root.join("new"), self.current(), self.state());
        Self::remove(&new)?;
        std::fs::create_dir(&new).map_err(|e| Self::disk("make", &new, e))?;
        let mut parts: Vec<Part> = Vec::new();
        for url in self.archive.repositories.iter().chain(&self.archive.sources) {
            let primary = self.fetch_part(url, &new.join(parts.len().to_string())).await?;
            check_age(url, &primary, old.as_ref())?;
            parts.push(Part { url: url.clone(), primary });
        }
        let index = self.read_parts(new.clone(), parts.clone()).await?;
        let state = State { fetched_at: now.as_micros(), archive: self.archive.clone(), parts };
        let text = serde_json::to_vec(&state).map_err(|e| {
            Error::internal("the state of an index cannot be written").with_source(e)
        })?;
        let path = new.join(STATE);
        std::fs::write(&path, text).map_err(|e| Self::disk("write", &path, e))?;
        Self::remove(&current)?;
        std::fs::rename(&new, &current).map_err(|e| Self::disk("write", &current, e))?;
        Ok(index)
    }

    /// Fetches one repository's `primary.xml` to a file, if its `repomd.xml` is signed.
    async fn fetch_part(&self, repository: &Url, to: &Path) -> Result<Primary> {
        let http = Http::new(repository)?;
        let at = below(repository, "repodata/repomd.xml")?;
        let text = http.bytes(&at, MAX_REPOMD).await?;
        if let Some(key) = &self.archive.key {
            let at = below(repository, "repodata/repomd.xml.asc")?;
            let signature = http.bytes(&at, MAX_SIGNATURE).await?;
            detached::verify(self.exec, at.as_str(), &text, &signature, key).await?;
        }
        let primary = primary::repomd(&text)?;
        let max = primary.size.unwrap_or(MAX_PRIMARY).min(MAX_PRIMARY);
        let at = below(repository, &primary.path)?;
        let sha256 = http.save(&at, to, max).await?;
        if !sha256.eq_ignore_ascii_case(&primary.sha256) {
            return Err(bad(&format!("{at} does not have the SHA-256 that its repomd.xml says")));
        }
        Ok(primary)
    }

    async fn read_parts(&self, dir: PathBuf, parts: Vec<Part>) -> Result<NameIndex> {
        let read = tokio::task::spawn_blocking(move || -> Result<NameIndex> {
            let mut index = NameIndex::default();
            for (n, part) in parts.iter().enumerate() {
                let read = primary::read_file(&mut index, &dir.join(n.to_string()), &part.primary);
                read.map_err(|e| bad(&format!("{}: {}", part.url, e.message())))?;
            }
            Ok(index)
        });
        let index = read
            .await
            .map_err(|e| Error::internal("reading an index panicked").with_source(e))??;
        if index.names() == 0 {
            return Err(bad("its repositories list no packages"));
        }
        Ok(index)
    }

    /// Another server of this machine may fetch the same.
    fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(|e| Self::disk("write", &path, e))?;
        file.try_lock().map_err(|e| {
            let message = format!("{} is fetched by another process: {e}", self.named());
            Error::new(ErrorKind::Busy, message)
        })?;
        Ok(file)
    }

    fn remove(dir: &Path) -> Result<()> {
        match std::fs::remove_dir_all(dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Self::disk("remove", dir, e)),
            _ => Ok(()),
        }
    }

    fn named(&self) -> String {
        format!("{} {}", self.suite.dist, self.suite.suite)
    }

    fn failed(&self, why: &str) -> Error {
        let message = format!("the index of {} cannot be fetched: {why}", self.named());
        Error::new(ErrorKind::Unavailable, message).with_code("names_unavailable")
    }

    fn disk(what: &str, path: &Path, e: std::io::Error) -> Error {
        let message = format!("cannot {what} {}: {e}", path.display());
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    }
}

/// Refuses a state of a repository that is older than the one that was read before: an old `repomd.xml` stays signed for ever.
fn check_age(url: &Url, new: &Primary, old: Option<&State>) -> Result<()> {
    let before = old.and_then(|old| old.parts.iter().find(|part| part.url == *url));
    match (before.and_then(|part| part.primary.revision), new.revision) {
        (Some(before), Some(new)) if new < before => Err(bad(&format!(
            "{url} has the revision {new} and had {before} before; if the distribution went back on purpose, remove the directory of the index"
        ))),
        _ => Ok(()),
    }
}

/// The address of a file below a repository's.
fn below(repository: &Url, path: &str) -> Result<Url> {
    let mut base = repository.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    base.join(path).map_err(|e| bad(&format!("{path} is no path: {e}")))
}
