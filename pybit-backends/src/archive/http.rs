//! Files of an archive or an index, by HTTP or from this machine, with bounds.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use pybit_core::{Error, ErrorKind, Result};
use reqwest::{Client, Response, StatusCode, redirect};
use sha2::{Digest, Sha256};
use url::Url;

use super::config::is_loopback;

/// The longest connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence of a server.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest download of one file.
const FILE_TIMEOUT: Duration = Duration::from_mins(15);
/// The most redirects of one request.
const MAX_REDIRECTS: usize = 4;

/// An HTTP client for the archives beside one address.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
}

impl Http {
    pub(super) fn new(base: &Url) -> Result<Self> {
        // Another part of the program may have chosen its provider already; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("pybit/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(redirect::Policy::custom(follow));
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|e| {
            Error::new(ErrorKind::Internal, "cannot set up the HTTP client").with_source(e)
        })?;
        Ok(Self { client })
    }

    /// The answer to a GET, whatever its status.
    pub(super) async fn get(&self, url: &Url, accept: &str, within: Duration) -> Result<Response> {
        let request = self.client.get(url.clone()).header("accept", accept).timeout(within);
        request.send().await.map_err(|e| broken(url, e))
    }

    /// A small file.
    pub(super) async fn bytes(&self, url: &Url, max: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.each(url, max, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .await?;
        Ok(bytes)
    }

    /// Writes a file to `path` and returns the SHA-256 of its bytes.
    pub(super) async fn save(&self, url: &Url, path: &Path, max: u64) -> Result<String> {
        let failed = |e: std::io::Error| {
            let message = format!("cannot write {}: {e}", path.display());
            Error::new(ErrorKind::Unavailable, message).with_source(e)
        };
        let mut file = std::fs::File::create(path).map_err(failed)?;
        let mut sha256 = Sha256::new();
        self.each(url, max, |part| {
            sha256.update(part);
            file.write_all(part).map_err(failed)
        })
        .await?;
        file.sync_all().map_err(failed)?;
        Ok(hex::encode(sha256.finalize()))
    }

    async fn each(
        &self,
        url: &Url,
        max: u64,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if url.scheme() == "file" {
            return local(url, max, take);
        }
        let mut response = self.get(url, "*/*", FILE_TIMEOUT).await?;
        if response.status() != StatusCode::OK {
            return Err(unavailable(url, &format!("the answer is {}", response.status())));
        }
        let mut left = max;
        while let Some(part) = response.chunk().await.map_err(|e| broken(url, e))? {
            left = left.checked_sub(part.len() as u64).ok_or_else(|| too_large(url, max))?;
            take(&part)?;
        }
        Ok(())
    }
}

/// A file of this machine.
fn local(url: &Url, max: u64, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    use std::io::Read;
    let path = url.to_file_path().map_err(|()| unavailable(url, "it names another machine"))?;
    let failed = |e: std::io::Error| unavailable(url, &e.to_string());
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut buffer, mut left) = (vec![0; 1 << 17], max);
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(());
        }
        left = left.checked_sub(length as u64).ok_or_else(|| too_large(url, max))?;
        take(&buffer[..length])?;
    }
}

/// Follows a few redirects, and none from TLS to plain text.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS || (from_tls && attempt.url().scheme() != "https") {
        return attempt.error("the server redirects too often, or to a place without TLS");
    }
    attempt.follow()
}

/// The failure of a server.
pub(super) fn unavailable(url: &Url, why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{url} cannot be read: {why}"))
}

/// The failure of a connection; its own text would repeat the address.
pub(super) fn broken(url: &Url, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    unavailable(url, &why).with_source(error)
}

fn too_large(url: &Url, max: u64) -> Error {
    Error::invalid(format!("{url} is larger than {max} bytes")).with_code("invalid_index")
}
