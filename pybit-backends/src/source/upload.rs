//! Uploaded files: a source package, or a packed tree.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, LogSink, SourceFetcher};
use pybit_core::format::Exit;
use pybit_core::model::{FileName, Source};
use pybit_core::{Error, Result};

use super::{disk, unpack};
use crate::exec::{Cmd, Exec, one_line};

/// Unpacking the largest trees takes minutes.
const UNPACKING: Duration = Duration::from_mins(30);

/// Bounds of a packed tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadConfig {
    /// Bytes that it may unpack to, headers and padding among them.
    pub max_bytes: u64,
    /// Files, directories and links that it may hold.
    pub max_entries: u64,
}

impl Default for UploadConfig {
    /// 8 GiB and half a million entries: room for the largest sources of the distributions.
    fn default() -> Self {
        Self { max_bytes: 8 << 30, max_entries: 500_000 }
    }
}

/// Hands over [`Source::Upload`].
#[derive(Debug, Clone)]
pub struct UploadFetcher {
    config: UploadConfig,
    exec: Exec,
}

impl UploadFetcher {
    /// Unpacks within the bounds of `config`, for the user of `exec`.
    pub fn new(config: UploadConfig, exec: Exec) -> Self {
        Self { config, exec }
    }
}

#[async_trait]
impl SourceFetcher for UploadFetcher {
    fn method(&self) -> &'static str {
        "upload"
    }

    async fn fetch(&self, request: &FetchRequest<'_>, _: &dyn LogSink) -> Result<Fetched> {
        let Source::Upload { main, .. } = request.source else {
            return Err(Error::internal("the upload fetcher was given another kind of source"));
        };
        let uploaded = request.inbox.join(main.as_str());
        if !std::fs::symlink_metadata(&uploaded).is_ok_and(|m| m.is_file()) {
            let message = format!("the upload holds no file \"{main}\"");
            return Err(Error::not_found(message).with_code("source_not_found"));
        }
        let resolved = main.to_string();
        let kind = if main.as_str().ends_with(".tar.zst") {
            FetchedKind::Tree(self.unpack(&uploaded, request.into).await?)
        } else {
            FetchedKind::Package(self.hand_over(request.inbox, request.into, main).await?)
        };
        Ok(Fetched { kind, resolved })
    }
}

impl UploadFetcher {
    /// The files come from strangers: they are unpacked as the build user.
    async fn unpack(&self, archive: &Path, into: &Path) -> Result<PathBuf> {
        let tree = into.join("tree");
        let args = unpack::to_args(archive, &tree, &self.config);
        let cmd = Cmd::new(self.exec.helper(into, args)?, into).within(UNPACKING);
        let output = self.exec.output(&cmd, 64 << 10).await?;
        match output.exit {
            Exit::Code(0) => Ok(inner_tree(tree)),
            exit => Err(unpack::failure(exit, &one_line(&output.complaint()))),
        }
    }

    /// Copies, never links: the files must have no second name that somebody could write to.
    async fn hand_over(&self, inbox: &Path, into: &Path, main: &FileName) -> Result<PathBuf> {
        let (inbox, into, main) = (inbox.to_owned(), into.to_owned(), into.join(main.as_str()));
        let blocking = tokio::task::spawn_blocking(move || {
            for entry in std::fs::read_dir(&inbox).map_err(|e| disk("read", &inbox, e))? {
                let from = entry.map_err(|e| disk("read", &inbox, e))?.path();
                let Some(name) = from.file_name().filter(|_| from.is_file()) else { continue };
                copy(&from, &into.join(name)).map_err(|e| disk("copy", &from, e))?;
            }
            Ok(main)
        });
        let joined = blocking.await;
        joined.map_err(|e| Error::internal("copying was broken off").with_source(e))?
    }
}

/// An archive may hold `tree/` with the upstream tarballs beside it, as `pybit submit DIR` packs it.
fn inner_tree(unpacked: PathBuf) -> PathBuf {
    let inner = unpacked.join("tree");
    let has_inner = inner.symlink_metadata().is_ok_and(|m| m.is_dir());
    if has_inner { inner } else { unpacked }
}

/// To a new file only: the build user can put links in the directory.
fn copy(from: &Path, to: &Path) -> std::io::Result<u64> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o644).open(to)?;
    std::io::copy(&mut File::open(from)?, &mut new)
}
