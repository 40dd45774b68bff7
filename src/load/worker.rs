//! Simulated build clients and watchers: the real protocol, without builds.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pybit_client::{Api, Backoff};
use pybit_core::model::{ClientName, Job, JobId, JobStatus, RepositoryName, Role, Target};
use pybit_core::protocol::{
    Assignment, ClaimRequest, FinishRequest, HeartbeatRequest, Held, LogDigest, PublishedRequest,
};
use pybit_core::storage::ClientReport;
use pybit_core::{Error, Result};
use sha2::{Digest, Sha256};

use super::broken;
use super::site::Site;

/// How long the server may hold a claim, as the real client asks it to.
pub(super) const HELD_MS: u32 = 25_000;

/// A simulated build client.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    /// The API, asked with the client's own token.
    pub(super) api: Api,
    /// What it says of itself.
    pub(super) report: ClientReport,
}

impl Worker {
    /// A client that builds one job at a time for these targets.
    pub(super) async fn new(site: &Site, targets: &[Target]) -> Result<Self> {
        let name: ClientName = format!("load-{:08x}", rand::random::<u32>()).parse()?;
        let api = site.caller(Role::Client, Some(&name)).await?;
        let report = ClientReport {
            name,
            boot: unique(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: 1,
            offers: targets.to_vec(),
            weights: Vec::new(),
        };
        Ok(Self { api, report })
    }

    /// Asks once, for as long as `wait_ms`.
    pub(super) async fn claim(&self, wait_ms: u32) -> Result<Option<Assignment>> {
        let request = ClaimRequest { client: self.report.clone(), claim_id: unique(), wait_ms };
        Ok(self.api.claim(&request).await?.assignment)
    }

    /// Asks until there is a job; again after a pause where the server asks for one, as the real client does.
    pub(super) async fn next(&self) -> Result<Assignment> {
        let mut backoff = Backoff::server();
        loop {
            match self.claim(HELD_MS).await {
                Ok(Some(assignment)) => return Ok(assignment),
                Ok(None) => backoff.reset(),
                Err(error) if error.is_retryable() => backoff.wait().await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reports the jobs in hand.
    pub(super) async fn beat(&self, jobs: &[&Job]) -> Result<()> {
        let jobs = jobs.iter().map(|job| Held { job: job.id, attempt: job.attempt }).collect();
        let request = HeartbeatRequest { client: self.report.clone(), jobs };
        self.api.heartbeat(&request).await?;
        Ok(())
    }

    /// Builds: takes so long, writes such a log, and reports an empty result.
    pub(super) async fn build(&self, job: &Job, takes: Duration, log: &Bytes) -> Result<Job> {
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if !log.is_empty() {
            self.api.append_log(job.id, job.attempt, 0, log.clone()).await?;
        }
        let log = LogDigest { length: log.len() as u64, sha256: hex::encode(Sha256::digest(log)) };
        self.finish(job, log).await
    }

    /// Reports an empty result.
    pub(super) async fn finish(&self, job: &Job, log: LogDigest) -> Result<Job> {
        let attempt = job.attempt;
        let report =
            FinishRequest { attempt, log, files: Vec::new(), source: None, produced: Vec::new() };
        let job = self.api.finish(job.id, &report).await?;
        if matches!(job.status, JobStatus::Uploaded | JobStatus::Done) {
            return Ok(job);
        }
        Err(broken(format!("job {} became {} instead of Uploaded", job.id, job.status)))
    }
}

/// A simulated watcher: says of every result that it was published, until it has said so of `count`.
pub(super) async fn publish(api: &Api, repository: &RepositoryName, count: usize) -> Result<()> {
    let mut done = 0;
    while done < count {
        let sets = api.uploaded(repository, None, 5000).await?;
        let said = sets.iter().map(|set| published(api, set.job.id, set.job.attempt));
        for job in join_all(said).await {
            done += usize::from(job?.status == JobStatus::Done);
        }
    }
    Ok(())
}

async fn published(api: &Api, job: JobId, attempt: u32) -> Result<Job> {
    let report = PublishedRequest { attempt, snapshot: "load".to_owned() };
    api.published(job, &report).await.map_err(Error::from)
}

/// 128 random bits.
pub(super) fn unique() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
