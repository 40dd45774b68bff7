//! Results of the farm: fetched, published, verified, reported.

use std::path::PathBuf;
use std::sync::Arc;

use pybit_client::api::Api;
use pybit_client::{Backoff, Retry};
use pybit_core::model::{FileSpec, Health, Job, JobId, RepositoryName};
use pybit_core::owners::NamePolicy;
use pybit_core::protocol::{
    PublishedRequest, RejectedRequest, RemoteFile, RepositoryKey, UploadedSet,
};
use pybit_core::publish::{Publication, PublishSet, Publisher};
use pybit_core::{Error, ErrorKind, Result, trial};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{RepositoryConfig, cannot_make};
use crate::names::Teller;
use crate::tending::told;

/// How long the server may hold a request for work, in milliseconds.
const WAIT_MS: u32 = 25_000;

/// Publishes the farm's results into one repository.
#[derive(Debug)]
pub(crate) struct Uploads {
    api: Api,
    publisher: Arc<dyn Publisher>,
    names: Arc<dyn NamePolicy>,
    teller: Arc<Teller>,
    repository: RepositoryConfig,
    work_dir: PathBuf,
    /// The health of the repository, as its renewal has found it.
    health: watch::Receiver<Health>,
    /// Why the last publication failed.
    trouble: Option<String>,
    /// Held from a publication to its report; removals hold it too.
    turn: Arc<Mutex<()>>,
}

impl Uploads {
    pub(crate) fn new(
        api: Api,
        publisher: Arc<dyn Publisher>,
        names: (Arc<dyn NamePolicy>, Arc<Teller>),
        repository: RepositoryConfig,
        work_dir: PathBuf,
        health: watch::Receiver<Health>,
        turn: Arc<Mutex<()>>,
    ) -> Self {
        let (trouble, (names, teller)) = (None, names);
        Self { api, publisher, names, teller, repository, work_dir, health, trouble, turn }
    }

    /// Works until `stop`; a set under way is finished first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
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
                    // What cannot be published keeps nothing waiting: what is behind it comes next, then all once more.
                    let last = sets.last().map(|set| set.job.id);
                    let trouble = self.publish_all(sets, &stop).await;
                    failed |= trouble.is_some();
                    introduced = !self.is_news(trouble, failed);
                    // Early refusals miss what the farm was not told; the repository's own do not.
                    if last.is_some()
                        && let Err(error) = self.teller.tell().await
                    {
                        tracing::warn!(repository = %self.repository.name, error = %error, "the farm does not know the repository's packages; telling it again");
                        introduced = false;
                    }
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

    /// Keeps why publications fail; whether the farm has to be told of it, or of what tending has found.
    fn is_news(&mut self, trouble: Option<String>, failed: bool) -> bool {
        let known = self.trouble.clone();
        self.trouble = trouble.or_else(|| known.clone().filter(|_| failed));
        self.trouble != known || self.health.has_changed().unwrap_or(false)
    }

    /// Tells the farm the repository's key, address and health, so that builds can install from it.
    async fn introduce(&mut self) -> Result<()> {
        let mut health = self.health.borrow_and_update().clone();
        // Why a publication failed is nearer to what people ask.
        health.trouble = self.trouble.clone().or(health.trouble);
        let public_key = self.publisher.public_key().await?;
        let url = self.repository.public_url.clone();
        let key = RepositoryKey { public_key, url, health: Some(health) };
        self.api.put_repository_key(&self.repository.name, &key).await?;
        self.teller.tell_again().await
    }

    /// The sets to publish; none if there is news to report first.
    async fn next_sets(
        &mut self,
        after: Option<JobId>,
        stop: &CancellationToken,
    ) -> Result<Vec<UploadedSet>> {
        let wait_ms = if after.is_none() { WAIT_MS } else { 0 };
        tokio::select! {
            sets = self.api.uploaded(&self.repository.name, after, wait_ms) => sets.map_err(Into::into),
            Ok(()) = self.health.changed() => {
                self.health.mark_changed();
                Ok(Vec::new())
            }
            () = stop.cancelled() => Ok(Vec::new()),
        }
    }

    /// Why one of the sets could not be brought to an end and has to be tried again.
    async fn publish_all(
        &self,
        sets: Vec<UploadedSet>,
        stop: &CancellationToken,
    ) -> Option<String> {
        let mut failed = None;
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
                    failed = Some(told(&error));
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
            id: Some(set_id(job)),
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
                report_published(&self.api, &self.repository.name, job, &snapshot).await?;
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

/// The name of an attempt's result. The time tells it from a job of that number in another database.
pub(crate) fn set_id(job: &Job) -> String {
    format!("job {} attempt {} of {}", job.id, job.attempt, job.created_at.as_micros())
}

/// Tells the farm which state of the repository first held a job's result.
pub(crate) async fn report_published(
    api: &Api,
    repository: &RepositoryName,
    job: &Job,
    snapshot: &str,
) -> Result<()> {
    let snapshot = format!("{repository} {snapshot}");
    api.published(job.id, &PublishedRequest { attempt: job.attempt, snapshot }).await?;
    Ok(())
}
