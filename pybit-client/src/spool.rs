//! The log of a build on this machine: written here first, sent from here.

use std::io::{Read, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pybit_core::build::LogSink;
use pybit_core::protocol::LogDigest;
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};

use crate::journal::failed;

/// Bytes beyond the limit that still fit: the last words of a build that ran past it.
const SLACK: u64 = 64 * 1024;

/// A log that grows in a file. Every byte in it is in the digest; a restarted client opens it again.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    limit: u64,
    writer: Mutex<Writer>,
    length: watch::Sender<u64>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    digest: Sha256,
    length: u64,
    /// An append was begun and its end not seen: whoever waited for it went away, for one because the build was stopped.
    begun: bool,
}

impl Spool {
    /// Opens the log at `path`, and makes it where there is none. It takes at most `limit` bytes and a little.
    pub(crate) async fn open(path: PathBuf, limit: u64) -> Result<Self> {
        let writer = Writer::open(&path).await?;
        let length = watch::Sender::new(writer.length);
        Ok(Self { path, limit, writer: Mutex::new(writer), length })
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        *self.length.borrow()
    }

    /// Bytes that a build may still write.
    pub(crate) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.length())
    }

    /// Tells whenever it has grown.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.length.subscribe()
    }

    /// Length and SHA-256 of the whole.
    pub(crate) async fn digest(&self) -> LogDigest {
        let writer = self.writer.lock().await;
        let sha256 = hex::encode(writer.digest.clone().finalize());
        LogDigest { length: writer.length, sha256 }
    }

    /// Makes every byte survive the end of the machine.
    pub(crate) async fn sync(&self) -> Result<()> {
        let writer = self.writer.lock().await;
        writer.file.sync_data().await.map_err(|e| failed("write", &self.path, e))
    }

    /// At most `most` bytes from `offset` on, of those that are in the digest: of an append that fails, or that nobody waits for any
    /// more, some are in the file until they are cut off again.
    pub(crate) async fn read(&self, offset: u64, most: u64) -> Result<Vec<u8>> {
        let most = most.min(self.length().saturating_sub(offset));
        read_range(&self.path, offset, most).await.map_err(|e| failed("read", &self.path, e))
    }

    /// The last `most` bytes as text.
    pub(crate) async fn tail(&self, most: u64) -> Result<String> {
        let bytes = self.read(self.length().saturating_sub(most), most).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Appends a line of pybit's own, below what a build may have left unfinished.
    pub(crate) async fn say(&self, line: &str) -> Result<()> {
        let before = match self.tail(1).await?.as_str() {
            "" | "\n" => "",
            _ => "\n",
        };
        self.write(format!("{before}pybit: {line}\n").as_bytes()).await
    }
}

#[async_trait]
impl LogSink for Spool {
    /// Fails, `TooLarge`, code `log_limit`, where the log is full; nothing is written then.
    async fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut writer = self.writer.lock().await;
        let length = writer.length + bytes.len() as u64;
        if length > self.limit.saturating_add(SLACK) {
            let message = format!("the log is longer than {} bytes", self.limit);
            return Err(Error::new(ErrorKind::TooLarge, message).with_code("log_limit"));
        }
        writer.append(bytes).await.map_err(|e| failed("write", &self.path, e))?;
        self.length.send_replace(length);
        Ok(())
    }
}

impl Writer {
    async fn open(path: &Path) -> Result<Self> {
        let (digest, length) = digest_of(path).await?;
        let file = File::options().append(true).create(true).open(path).await;
        Ok(Self { file: file.map_err(|e| failed("open", path, e))?, digest, length, begun: false })
    }

    /// Appends whole or not at all: a part that was written before a failure is cut off again, or the file and its
    /// digest would part.
    async fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.begun {
            self.take_back().await?;
        }
        self.begun = true;
        let written = match self.file.write_all(bytes).await {
            Ok(()) => self.file.flush().await,
            Err(e) => Err(e),
        };
        if let Err(e) = written {
            self.take_back().await?;
            return Err(e);
        }
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        self.begun = false;
        Ok(())
    }

    /// Cuts off what is not in the digest, once a write under way is over.
    async fn take_back(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length).await?;
        self.begun = false;
        Ok(())
    }
}

async fn digest_of(path: &Path) -> Result<(Sha256, u64)> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut digest = Sha256::new();
        let mut length = 0;
        let mut file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((digest, 0)),
            Err(e) => return Err(failed("open", &path, e)),
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer).map_err(|e| failed("read", &path, e))? {
                0 => return Ok((digest, length)),
                n => {
                    digest.update(&buffer[..n]);
                    length += n as u64;
                }
            }
        }
    });
    read.await.map_err(|e| Error::internal("reading a log ended early").with_source(e))?
}

async fn read_range(path: &Path, offset: u64, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reopened_spool_goes_on_with_the_same_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let spool = Spool::open(path.clone(), 1000).await.unwrap();
        spool.write(b"hello ").await.unwrap();
        drop(spool);
        let spool = Spool::open(path, 1000).await.unwrap();
        spool.write(b"world").await.unwrap();
        let digest = spool.digest().await;
        assert_eq!(digest.length, 11);
        assert_eq!(digest.sha256, hex::encode(Sha256::digest(b"hello world")));
        assert_eq!(spool.tail(5).await.unwrap(), "world");
        assert_eq!(spool.read(2, 3).await.unwrap(), b"llo");
    }

    #[tokio::test]
    async fn an_append_that_is_not_over_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let spool = Spool::open(path.clone(), 1000).await.unwrap();
        spool.write(b"whole\n").await.unwrap();
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"torn").unwrap();
        assert_eq!(spool.read(0, 1000).await.unwrap(), b"whole\n");
        assert_eq!(spool.read(6, 1000).await.unwrap(), b"");
    }

    /// The one thread that writes files is held, so the append is under way for certain when its future is dropped.
    #[test]
    fn an_append_that_nobody_waits_for_leaves_nothing() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let spool = Spool::open(path.clone(), 1 << 20).await.unwrap();
            for round in 0..20 {
                spool.write(b"whole\n").await.unwrap();
                let (release, held) = std::sync::mpsc::channel::<()>();
                let holder = tokio::task::spawn_blocking(move || held.recv());
                let mut torn = Box::pin(spool.write(b"pybit: collected 2 files\n"));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(
                    torn.as_mut().poll(&mut context).is_pending(),
                    "round {round}: the write is under way"
                );
                drop(torn);
                release.send(()).unwrap();
                holder.await.unwrap().unwrap();
                spool.say("stopped").await.unwrap();
                let text = std::fs::read(&path).unwrap();
                assert_eq!(text, b"whole\npybit: stopped\n".repeat(round + 1), "round {round}");
                assert_eq!(spool.digest().await.sha256, hex::encode(Sha256::digest(&text)));
            }
        });
    }

    #[tokio::test]
    async fn words_of_our_own_begin_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().join("log"), 1000).await.unwrap();
        spool.say("begins").await.unwrap();
        spool.write("unfinished é".as_bytes()).await.unwrap();
        spool.say("goes on").await.unwrap();
        spool.say("ends").await.unwrap();
        let said = "pybit: begins\nunfinished é\npybit: goes on\npybit: ends\n";
        assert_eq!(spool.tail(1000).await.unwrap(), said);
    }

    #[tokio::test]
    async fn a_full_log_takes_the_last_words_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().join("log"), 10).await.unwrap();
        spool.write(&[b'x'; 20]).await.unwrap();
        assert_eq!(spool.room(), 0);
        let error = spool.write(&vec![b'x'; 64 * 1024]).await.unwrap_err();
        assert_eq!(error.code(), "log_limit");
        assert_eq!(spool.digest().await.length, 20);
    }
}
