//! Files: sent in pieces that may be sent again, fetched with size and digest checked.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pybit_core::ErrorKind;
use pybit_core::model::{FileName, FileSpec, JobId, UploadId};
use pybit_core::protocol::{FileState, Manifest, RemoteFile};
use reqwest::{Method, RequestBuilder};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{Api, ApiError, ApiResult};
use crate::backoff::Retry;

/// Bytes that one append carries.
const CHUNK: u64 = 4 * 1024 * 1024;

/// What files are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// An upload that a submission will build from.
    Upload(UploadId),
    /// The result of an attempt.
    Attempt {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: u32,
    },
}

impl Api {
    /// Sends files until the server has every byte of each, going on where it left off.
    ///
    /// The files of an attempt are declared by this; those of an upload must be declared already. A lost answer is
    /// harmless: the piece is sent again, or the file goes on at the offset that the server expects. Ends with the last
    /// failure when `retry` is used up without any progress.
    pub async fn send_files(
        &self,
        to: Destination,
        files: &[(FileSpec, PathBuf)],
        retry: &Retry,
    ) -> ApiResult<()> {
        let states = self.arrived(to, files, retry.clone()).await?;
        for (spec, path) in files {
            let state = states.iter().find(|s| s.spec.name == spec.name);
            if !state.is_some_and(|s| s.complete) {
                let from = state.map_or(0, |s| s.length);
                self.send_file(to, spec, path, from, retry.clone()).await?;
            }
        }
        Ok(())
    }

    /// How far the files have arrived.
    async fn arrived(
        &self,
        to: Destination,
        files: &[(FileSpec, PathBuf)],
        mut retry: Retry,
    ) -> ApiResult<Vec<FileState>> {
        loop {
            let answer = match to {
                Destination::Upload(id) => self.upload(id).await,
                Destination::Attempt { job, attempt } => {
                    let files = files.iter().map(|(spec, _)| spec.clone()).collect();
                    self.declare_files(job, &Manifest { attempt, files }).await
                }
            };
            match answer {
                Err(e) if e.is_transient() && retry.again().await => {}
                other => return other,
            }
        }
    }

    async fn send_file(
        &self,
        to: Destination,
        spec: &FileSpec,
        path: &Path,
        mut offset: u64,
        mut retry: Retry,
    ) -> ApiResult<()> {
        let mut file = File::open(path).await.map_err(|e| ApiError::local("open", path, e))?;
        let mut restarts = 0;
        loop {
            let chunk = read_chunk(&mut file, path, spec, offset).await?;
            match self.append(to, &spec.name, offset, chunk).await {
                Ok(length) if length >= spec.size => return Ok(()),
                Ok(length) if length > offset => {
                    retry.progressed();
                    offset = length;
                }
                Ok(length) => {
                    if !retry.again().await {
                        let message = format!("{} does not grow at the server", spec.name);
                        return Err(ApiError::new(ErrorKind::Unavailable, message));
                    }
                    offset = length;
                }
                Err(e) if e.is("offset_mismatch") && e.expected.is_some() => {
                    let expected = e.expected.unwrap_or_default();
                    // The server may have lost what it said was durable only when it was restored from a backup;
                    // going on at its offset heals both that and a lost answer, but not for ever.
                    if expected <= offset && !retry.again().await {
                        return Err(e);
                    }
                    if expected >= spec.size && spec.size > 0 {
                        return Ok(());
                    }
                    offset = expected;
                }
                Err(e) if e.is("digest_mismatch") && restarts == 0 => {
                    restarts += 1;
                    offset = 0;
                }
                Err(e) if e.is_transient() && retry.again().await => {}
                Err(e) => return Err(e),
            }
        }
    }

    async fn append(
        &self,
        to: Destination,
        name: &FileName,
        offset: u64,
        bytes: Bytes,
    ) -> ApiResult<u64> {
        match to {
            Destination::Upload(id) => self.append_upload(id, name, offset, bytes).await,
            Destination::Attempt { job, attempt } => {
                self.append_file(job, attempt, name, offset, bytes).await
            }
        }
    }

    /// Fetches a file that the server keeps into `to`, which then has exactly the declared size and digest.
    ///
    /// It is written beside `to` first, as `NAME.part`. What is longer or shorter than declared, or has another digest
    /// twice, fails: `Corrupt`, code `digest_mismatch`.
    pub async fn download(&self, file: &RemoteFile, to: &Path, mut retry: Retry) -> ApiResult<()> {
        let mut mismatches = 0;
        loop {
            let request = self.remote(&file.path)?;
            match self.fetch_checked(request, &file.spec, to).await {
                Err(e) if e.is("digest_mismatch") && mismatches == 0 => mismatches += 1,
                Err(e) if e.is_transient() && retry.again().await => {}
                other => return other,
            }
        }
    }

    /// Fetches a file of a job's result into `to`, checked against `spec` from the job's [`JobDetail::files`].
    ///
    /// [`JobDetail::files`]: pybit_core::protocol::JobDetail::files
    pub async fn download_result(
        &self,
        job: JobId,
        spec: &FileSpec,
        to: &Path,
        retry: Retry,
    ) -> ApiResult<()> {
        let path = format!("/api/v1/jobs/{job}/files/{}", spec.name);
        self.download(&RemoteFile { spec: spec.clone(), path }, to, retry).await
    }

    /// A request for an address that the server gave; one that leads out of its API is refused.
    fn remote(&self, path: &str) -> ApiResult<RequestBuilder> {
        let outside = || {
            ApiError::new(ErrorKind::Invalid, "the server named a file that is not below /api/v1/")
        };
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let root = self.url().path().trim_end_matches('/');
        let mut url = self.url().clone();
        url.set_path(&format!("{root}{path}"));
        url.set_query(query);
        if !path.starts_with("/api/v1/") || !url.path().starts_with(&format!("{root}/api/v1/")) {
            return Err(outside());
        }
        Ok(self.authorized(self.http.request(Method::GET, url)))
    }

    async fn fetch_checked(
        &self,
        request: RequestBuilder,
        spec: &FileSpec,
        to: &Path,
    ) -> ApiResult<()> {
        let mut answer = self.send(request).await?;
        let part = to.with_file_name(format!("{}.part", spec.name));
        let fail = |e| ApiError::local("write", &part, e);
        let mut file = File::create(&part).await.map_err(fail)?;
        let mut digest = Sha256::new();
        let mut length = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.no_answer(e))? {
            length += chunk.len() as u64;
            if length > spec.size {
                return Err(mismatch(spec, "is longer than declared"));
            }
            digest.update(&chunk);
            file.write_all(&chunk).await.map_err(fail)?;
        }
        file.sync_all().await.map_err(fail)?;
        if length != spec.size {
            return Err(mismatch(spec, "is shorter than declared"));
        }
        if hex::encode(digest.finalize()) != spec.sha256 {
            return Err(mismatch(spec, "has another SHA-256 than declared"));
        }
        tokio::fs::rename(&part, to).await.map_err(|e| ApiError::local("write", to, e))
    }
}

fn mismatch(spec: &FileSpec, why: &str) -> ApiError {
    let mut error =
        ApiError::new(ErrorKind::Corrupt, format!("what arrived as {} {why}", spec.name));
    "digest_mismatch".clone_into(&mut error.code);
    error
}

/// The next piece of a file; one that is shorter than declared fails.
async fn read_chunk(
    file: &mut File,
    path: &Path,
    spec: &FileSpec,
    offset: u64,
) -> ApiResult<Bytes> {
    let fail = |e| ApiError::local("read", path, e);
    let wanted = CHUNK.min(spec.size.saturating_sub(offset));
    file.seek(SeekFrom::Start(offset)).await.map_err(fail)?;
    let mut chunk = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
    file.take(wanted).read_to_end(&mut chunk).await.map_err(fail)?;
    if chunk.len() as u64 != wanted {
        return Err(mismatch(spec, "is shorter than declared; it changed while it was sent"));
    }
    Ok(chunk.into())
}
