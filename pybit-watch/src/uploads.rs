//! Results of the farm: fetched, published, verified, reported.

use std::path::PathBuf;
use std::sync::Arc;

use pybit_client::api::Api;
use pybit_client::{Backoff, Retry};
use pybit_core::model::{FileSpec, JobId};
use pybit_core::owners::NamePolicy;
use pybit_core::protocol::{
    PublishedRequest, RejectedRequest, RemoteFile, RepositoryKey, UploadedSet,
};
use pybit_core::publish::{Publication, PublishSet, Publisher};
use pybit_core::{Error, ErrorKind, Result, trial};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::{RepositoryConfig, cannot_make};

/// How long the server may hold a request for work, in milliseconds.
const WAIT_MS: u32 = 25_000;

/// Publishes the farm's results into one repository.
#[derive(Debug)]
pub(crate) struct Uploads {
    api: Api,
    publisher: Arc<dyn Publisher>,
    names: Arc<dyn NamePolicy>,
    repository: RepositoryConfig,
    work_dir: PathBuf,
    /// Held from a publication to its report; removals hold it too.
    turn: Arc<Mutex<()>>,
}

impl Uploads {
    pub(crate) fn new(
        api: Api,
        publisher: Arc<dyn Publisher>,
        names: Arc<dyn NamePolicy>,
        repository: RepositoryConfig,
        work_dir: PathBuf,
        turn: Arc<Mutex<()>>,
    ) -> Self {
        Self { api, publisher, names, repository, work_dir, turn }
    }

    /// Works until `stop`; a set under way is finished first.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::server();
        let mut introduced = false;
        let (mut after, mut failed) = (None, false);
        while !stop.is_cancelled() {
            let round = async {
                if !introduced {
                    self.introduce().await?;
                }
                self.next_sets(after, &stop).await
            };
            match round.await {
                Ok(sets) => {
                    introduced = true;
                    // What cannot be published keeps nothing waiting: what is behind it comes next, then all once more.
                    let last = sets.last().map(|set| set.job.id);
                    failed |= self.publish_all(sets, &stop).await;
                    after = last.filter(|_| failed);
                    if after.is_some() {
                        continue;
                    }
                    if !std::mem::take(&mut failed) {
                        backoff.reset();
                        continue;
                    }
                }
                Err(error) => {
                    (after, failed) = (None, false);
                    tracing::warn!(repository = %self.repository.name, error = %error, "the farm gives no work; trying again");
                    introduced = false;
                }
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Tells the farm the repository's key and address, so that builds can install from it.
    async fn introduce(&self) -> Result<()> {
        let public_key = self.publisher.public_key().await?;
        let key = RepositoryKey { public_key, url: self.repository.public_url.clone() };
        self.api.put_repository_key(&self.repository.name, &key).await.map_err(Into::into)
    }

    async fn next_sets(
        &self,
        after: Option<JobId>,
        stop: &CancellationToken,
    ) -> Result<Vec<UploadedSet>> {
        let wait_ms = if after.is_none() { WAIT_MS } else { 0 };
        tokio::select! {
            sets = self.api.uploaded(&self.repository.name, after, wait_ms) => sets.map_err(Into::into),
            () = stop.cancelled() => Ok(Vec::new()),
        }
    }

    /// Whether one of the sets could not be brought to an end and has to be tried again.
    async fn publish_all(&self, sets: Vec<UploadedSet>, stop: &CancellationToken) -> bool {
        let mut failed = false;
        for set in sets {
            if stop.is_cancelled() {
                break;
            }
            let job = set.job.id;
            match self.publish(&set).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::info!(%job, error = %error, "another watcher was faster");
                }
                Err(error) => {
                    tracing::warn!(%job, error = %error, "not published; trying again");
                    failed = true;
                }
            }
        }
        failed
    }

    async fn publish(&self, uploaded: &UploadedSet) -> Result<()> {
        let job = &uploaded.job;
        let dir = tempfile::Builder::new()
            .prefix(&format!("job-{}-", job.id))
            .tempdir_in(&self.work_dir)
            .map_err(|e| cannot_make(&self.work_dir, &e))?;
        let version = job.version.clone();
        let set = PublishSet {
            package: job.package.clone(),
            version: version.ok_or_else(|| Error::internal("a built job has a version"))?,
            files: self.fetch(&uploaded.files, dir.path().join("result")).await?,
            source_files: self.fetch(&uploaded.source_files, dir.path().join("source")).await?,
        };
        trial::crash_point("publish_fetched_before_tools");
        let _turn = self.turn.lock().await;
        match self.publisher.publish(&set, &*self.names).await? {
            Publication::Published(snapshot) => {
                trial::crash_point("publish_done_before_report");
                tracing::info!(job = %job.id, package = %job.package, %snapshot, "published");
                let snapshot = format!("{} {snapshot}", self.repository.name);
                let report = PublishedRequest { attempt: job.attempt, snapshot };
                self.api.published(job.id, &report).await?;
            }
            Publication::Rejected(reason) => {
                tracing::warn!(job = %job.id, package = %job.package, %reason, "refused");
                let report = RejectedRequest { attempt: job.attempt, reason };
                self.api.rejected(job.id, &report).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&self, files: &[RemoteFile], into: PathBuf) -> Result<Vec<(FileSpec, PathBuf)>> {
        tokio::fs::create_dir_all(&into).await.map_err(|e| cannot_make(&into, &e))?;
        let mut fetched = Vec::with_capacity(files.len());
        for file in files {
            let to = into.join(file.spec.name.as_str());
            self.api.download(file, &to, Retry::patient()).await?;
            fetched.push((file.spec.clone(), to));
        }
        Ok(fetched)
    }
}
