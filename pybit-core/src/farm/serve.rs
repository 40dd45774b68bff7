//! Claims and heartbeats of build clients.

use std::time::Duration;

use super::Farm;
use super::machine::{Command, Holder, fence};
use crate::error::{Error, Result};
use crate::model::{
    Catalogue, FileSpec, Job, JobId, JobKind, JobStatus, Source, Stream, StreamOwner, SubmissionId,
};
use crate::protocol::{Assignment, Held, Input, RemoteFile, RepositoryAccess, Verdict};
use crate::storage::{Claim, ClientReport};
use crate::trial;

impl Farm {
    /// Gives the client the best job that it can build, or nothing.
    ///
    /// A client that drains or is quarantined gets nothing; asking again with the same claim id gives the same job.
    pub async fn claim(&self, report: &ClientReport, claim_id: &str) -> Result<Option<Assignment>> {
        if !(8..=64).contains(&claim_id.len())
            || !claim_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            let message = "the claim id must be 8 to 64 letters, digits and hyphens";
            return Err(Error::invalid(message).with_code("invalid_claim_id"));
        }
        let storage = &self.inner.storage;
        let now = self.inner.clock.now();
        let known = storage.client(&report.name).await?;
        let client = match known {
            Some(known) if known.boot == report.boot && known.offers == report.offers => known,
            _ => storage.beat(report, &[], now).await?.client,
        };
        if client.draining || client.quarantined_until > now {
            return Ok(None);
        }
        let claim = Claim {
            client: report.name.clone(),
            boot: report.boot.clone(),
            claim_id: claim_id.to_owned(),
            offers: report.offers.clone(),
            weights: report.weights.clone(),
        };
        match storage.claim(&claim, now).await? {
            Some(job) => {
                trial::crash_point("claim_after_commit_before_reply");
                self.assignment(job).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn assignment(&self, job: Job) -> Result<Assignment> {
        let catalogue = self.inner.storage.catalogue().await?;
        let input = match job.kind {
            JobKind::Source => self.fetch_input(job.submission).await?,
            JobKind::Binary => self.package_input(&job).await?,
        };
        let repositories = repositories_for(&catalogue, &job);
        Ok(Assignment { input, repositories, limits: self.inner.policy.limits(), job })
    }

    async fn fetch_input(&self, submission: SubmissionId) -> Result<Input> {
        let submission = self.inner.storage.submission(submission).await?;
        let source =
            submission.ok_or_else(|| Error::internal("a job has a submission"))?.request.source;
        let files = match &source {
            Source::Upload { upload, .. } => self.files_of(StreamOwner::Upload(*upload)).await?,
            _ => Vec::new(),
        };
        Ok(Input::Fetch { source, files })
    }

    async fn package_input(&self, job: &Job) -> Result<Input> {
        let files = self.source_files(job).await?;
        let format = self.format(&job.target.format)?;
        let main = files.iter().find(|f| format.is_source_description(&f.spec.name));
        let main = main
            .ok_or_else(|| Error::internal(format!("job {} has no source description", job.id)))?;
        Ok(Input::Package { main: main.spec.name.clone(), files })
    }

    /// The files of the source package that a binary job builds from.
    pub(super) async fn source_files(&self, job: &Job) -> Result<Vec<RemoteFile>> {
        if let Some(id) = job.source_job {
            let source = self.job(id).await?;
            return self.files_of(StreamOwner::Attempt { job: id, attempt: source.attempt }).await;
        }
        let submission = self.inner.storage.submission(job.submission).await?;
        match submission.map(|s| s.request.source) {
            Some(Source::Upload { upload, .. }) => self.files_of(StreamOwner::Upload(upload)).await,
            _ => Err(Error::internal(format!("job {} has no source package", job.id))),
        }
    }

    /// The complete files of an owner, with the addresses they are served at.
    pub async fn files_of(&self, owner: StreamOwner) -> Result<Vec<RemoteFile>> {
        let streams = self.inner.storage.streams(owner).await?;
        Ok(streams.iter().filter(|s| s.object.is_some()).filter_map(remote_file).collect())
    }

    /// Takes a heartbeat: moves the leases and says what to do with each job.
    pub async fn heartbeat(
        &self,
        report: &ClientReport,
        held: &[Held],
    ) -> Result<(Vec<Verdict>, bool)> {
        let now = self.inner.clock.now();
        let listed: Vec<(JobId, u32)> = held.iter().map(|h| (h.job, h.attempt)).collect();
        let beat = self.inner.storage.beat(report, &listed, now).await?;
        trial::crash_point("heartbeat_after_commit_before_reply");
        let mut verdicts = Vec::with_capacity(held.len());
        for (held, job) in held.iter().zip(&beat.asked) {
            verdicts.push(self.verdict(report, held, job.as_ref()).await?);
        }
        for (job, boot) in &beat.held {
            if *boot != report.boot && !listed.contains(&(job.id, job.attempt)) {
                let cause = format!("client {} was restarted without it", report.name);
                self.apply(job.id, &Command::Lapse { epoch: job.lease_epoch, cause }).await?;
            }
        }
        Ok((verdicts, beat.client.draining))
    }

    async fn verdict(
        &self,
        report: &ClientReport,
        held: &Held,
        job: Option<&Job>,
    ) -> Result<Verdict> {
        let holder = Holder { client: report.name.clone(), attempt: held.attempt };
        let Some(job) = job else {
            self.alarm(held.job, &holder, "there is no such job");
            return Ok(Verdict::Unknown);
        };
        if let Err(refusal) = fence(job, &holder) {
            self.look_behind(job, &holder, &refusal).await;
            return Ok(Verdict::Stale);
        }
        match job.status {
            JobStatus::Building => Ok(Verdict::Continue),
            JobStatus::Cancelling => Ok(Verdict::Cancel),
            JobStatus::Waiting => match self.apply(job.id, &Command::Resume(holder)).await {
                Ok((job, _)) if job.status == JobStatus::Building => Ok(Verdict::Continue),
                Ok(_) | Err(_) => Ok(Verdict::Stale),
            },
            _ => Ok(Verdict::Stale),
        }
    }

    /// How long a claim or a watcher's request may be held, whatever the caller asks for.
    pub fn longest_wait(asked_ms: u32) -> Duration {
        Duration::from_millis(u64::from(asked_ms.min(30_000)))
    }
}

fn repositories_for(catalogue: &Catalogue, job: &Job) -> Vec<RepositoryAccess> {
    let target = &job.target;
    let repository = catalogue.repository(&target.dist, &target.suite, &target.format);
    let access = repository.and_then(|r| {
        let (url, public_key) = (r.url.clone()?, r.public_key.clone()?);
        Some(RepositoryAccess { url, suite: r.suite.clone(), public_key, overlay: r.overlays() })
    });
    access.into_iter().collect()
}

fn remote_file(stream: &Stream) -> Option<RemoteFile> {
    let spec =
        FileSpec { name: stream.name.clone(), size: stream.size?, sha256: stream.sha256.clone()? };
    let path = match stream.owner {
        StreamOwner::Attempt { job, .. } => format!("/api/v1/jobs/{job}/files/{}", spec.name),
        StreamOwner::Upload(upload) => format!("/api/v1/uploads/{upload}/files/{}", spec.name),
    };
    Some(RemoteFile { spec, path })
}
