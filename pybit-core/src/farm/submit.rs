//! Submissions, dry runs and retries.

use futures_util::future::try_join;
use sha2::{Digest, Sha256};

use super::Farm;
use super::names::tell_allowed;
use super::plan::{self, Planned};
use crate::error::{Error, ErrorKind, Result};
use crate::format::SourceInfo;
use crate::model::{
    Catalogue, FileSpec, Job, JobId, JobKind, JobStatus, NewSubmission, PackageName, Principal,
    Source, Stream, StreamOwner, Submission, UploadId,
};
use crate::storage::{PlannedJob, Recorded, SubmissionRecord};
use crate::trial;

impl Farm {
    /// Records a submission and its jobs.
    ///
    /// `main` is the content of an upload's main file, which the caller has read from the object store; it is looked at
    /// only where that is a source description. The same principal and key return the first result.
    pub async fn submit(
        &self,
        who: &Principal,
        request: NewSubmission,
        key: Option<&str>,
        main: Option<&[u8]>,
    ) -> Result<Recorded> {
        // The version rules are held where it is recorded.
        let planned = self.planned(who, &request, main).await?;
        let record = SubmissionRecord {
            request,
            principal: who.name.clone(),
            names: who.grant.names(),
            idempotency_key: key.map(str::to_owned),
            jobs: planned.into_iter().map(|p| p.job).collect(),
        };
        self.record(&record).await
    }

    /// What [`submit`](Self::submit) would record, and why; changes nothing.
    pub async fn plan(
        &self,
        who: &Principal,
        request: &NewSubmission,
        main: Option<&[u8]>,
    ) -> Result<Vec<Planned>> {
        let planned = self.planned(who, request, main).await?;
        self.check_versions(&planned).await?;
        Ok(planned)
    }

    /// The most jobs that a request can become: one for its source, and one for each architecture that it may be built for. Refused
    /// as [`plan::scope`] refuses.
    pub async fn most_jobs(&self, request: &NewSubmission) -> Result<usize> {
        let catalogue = self.inner.storage.catalogue().await?;
        Ok(1 + plan::scope(&catalogue, request)?.targets.len())
    }

    /// Refuses, `Conflict`, code `needs_confirmation`, what may become more jobs than anybody is taken to mean who does not say so.
    pub fn check_confirmed(&self, jobs: usize, confirmed: bool) -> Result<()> {
        let limit = self.inner.policy.confirm_jobs;
        if confirmed || jobs <= limit as usize {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "this may become {jobs} jobs; more than {limit} need a confirmation (--yes)"
        ))
        .with_code("needs_confirmation"))
    }

    async fn planned(
        &self,
        who: &Principal,
        request: &NewSubmission,
        main: Option<&[u8]>,
    ) -> Result<Vec<Planned>> {
        request.source.check()?;
        self.check_scheme(&request.source)?;
        let catalogue = self.inner.storage.catalogue().await?;
        let scope = plan::scope(&catalogue, request)?;
        let format = self.format(&scope.format)?;
        let source = match &request.source {
            Source::Upload { upload, main: name } => {
                let streams = self.whole_upload(who, *upload).await?;
                if format.is_source_description(name) {
                    let bytes =
                        main.ok_or_else(|| Error::internal("the caller reads the main file"))?;
                    let source = format.read_source(bytes)?;
                    Some((source, streams, hex::encode(Sha256::digest(bytes))))
                } else {
                    None
                }
            }
            _ => None,
        };
        let label = request.source.label().parse().ok();
        let names: Vec<&PackageName> = match (&source, &label) {
            (Some((source, ..)), _) => source.names(),
            (None, label) => label.iter().collect(),
        };
        plan::check_rules(&catalogue, &request.source.to_string(), &names)?;
        let planned = match source {
            Some((source, streams, sha256)) => {
                check_listed_files(&streams, &source)?;
                self.check_name(&scope, &who.grant.names(), &source, &sha256).await?;
                let allowed = self.check_names(&catalogue, &scope, &source).await?;
                let mut planned =
                    plan::binary_jobs(&scope, request, format.as_ref(), &source, None)?;
                tell_allowed(&mut planned, &allowed);
                planned
            }
            None => vec![plan::source_job(&scope, request)?],
        };
        self.check_count(planned.len())?;
        Ok(planned)
    }

    /// The binary jobs that a finished source job leads to. `sha256` is the digest of its source description.
    pub(super) async fn plan_after_source(
        &self,
        job: &Job,
        submission: &Submission,
        source: &SourceInfo,
        sha256: &str,
    ) -> Result<Vec<PlannedJob>> {
        let request = &submission.request;
        let catalogue: Catalogue = self.inner.storage.catalogue().await?;
        let scope = plan::scope(&catalogue, request)?;
        let format = self.format(&scope.format)?;
        plan::check_rules(&catalogue, &request.source.to_string(), &source.names())?;
        self.check_name(&scope, &submission.names, source, sha256).await?;
        self.check_names(&catalogue, &scope, source).await?;
        let planned = plan::binary_jobs(&scope, request, format.as_ref(), source, Some(job.id))?;
        self.check_count(planned.len())?;
        self.check_versions(&planned).await?;
        Ok(planned.into_iter().map(|p| p.job).collect())
    }

    /// A source on the machine that builds is for those who could log in there.
    fn check_scheme(&self, source: &Source) -> Result<()> {
        if self.inner.policy.file_sources != Some(false) || !source.is_local() {
            return Ok(());
        }
        let message = "file: sources are not taken by a farm that others can reach, unless its configuration says \
                       file_sources = true under [policy]; upload the source, or name a repository's address";
        Err(Error::new(ErrorKind::Denied, message).with_code("file_source_refused"))
    }

    fn check_count(&self, count: usize) -> Result<()> {
        let most = self.inner.policy.max_jobs;
        if count <= most as usize {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "this submission would become {count} jobs; at most {most} are allowed"
        ))
        .with_code("too_many_jobs"))
    }

    /// Says early what the storage would refuse while recording, so that a dry run shows it too.
    async fn check_versions(&self, planned: &[Planned]) -> Result<()> {
        for Planned { job, .. } in planned {
            let Some((version, _)) = job.version.as_ref().filter(|_| !job.force) else { continue };
            let target = &job.target;
            let newest = self
                .inner
                .storage
                .newest(&job.package, &target.dist, &target.suite, &target.format)
                .await?;
            let Some((newest, there)) = newest.and_then(|j| j.version.clone().map(|v| (j, v)))
            else {
                continue;
            };
            let order = self.format(&target.format)?.versions();
            if order.compare(version.as_str(), there.as_str())?.is_lt() {
                return Err(Error::conflict(format!(
                    "{} {version} is older than {there}, which {} has from job {}; submit it with force to build it all the same",
                    job.package, target.suite, newest.id
                ))
                .with_code("older_version"));
            }
        }
        Ok(())
    }

    /// The files of an upload that is the caller's and complete.
    async fn whole_upload(&self, who: &Principal, id: UploadId) -> Result<Vec<Stream>> {
        let unknown =
            || Error::not_found(format!("there is no upload {id}")).with_code("unknown_upload");
        let storage = &self.inner.storage;
        let (upload, streams) =
            try_join(storage.upload(id), storage.streams(StreamOwner::Upload(id))).await?;
        if upload.is_none_or(|upload| upload.principal != who.name) {
            return Err(unknown());
        }
        let missing: Vec<_> =
            streams.iter().filter(|s| s.object.is_none()).map(|s| s.name.as_str()).collect();
        if missing.is_empty() {
            return Ok(streams);
        }
        let message =
            format!("upload {id} is not complete: {} has not arrived whole", missing.join(", "));
        Err(Error::conflict(message).with_code("files_incomplete"))
    }

    pub(super) async fn record(&self, record: &SubmissionRecord) -> Result<Recorded> {
        let recorded = self.inner.storage.record_submission(record, self.inner.clock.now()).await?;
        trial::crash_point("submission_after_commit_before_reply");
        self.announce_unsent();
        Ok(recorded)
    }

    /// Makes a new job that tries an ended one again, as a submission of its own; the old one stays as it ended.
    ///
    /// With a key, asking again gives the job that the first time made. Keys of retries belong to the job that is retried: they
    /// never meet those of submissions.
    pub async fn retry(&self, who: &Principal, id: JobId, key: Option<&str>) -> Result<Job> {
        let job = self.job(id).await?;
        if !matches!(job.status, JobStatus::Failed | JobStatus::Cancelled) {
            let message =
                format!("job {id} is {}: only Failed and Cancelled jobs are retried", job.status);
            return Err(Error::conflict(message).with_code("not_retryable"));
        }
        let submission = self.inner.storage.submission(job.submission).await?;
        let request = submission.ok_or_else(|| Error::internal("a job has a submission"))?.request;
        let version = match &job.version {
            Some(v) if job.kind == JobKind::Binary => {
                Some((v.clone(), self.format(&job.target.format)?.versions().key(v.as_str())?))
            }
            _ => None,
        };
        let again = PlannedJob {
            kind: job.kind,
            package: job.package,
            version,
            target: job.target,
            master: job.master,
            weight: job.weight,
            priority: job.priority,
            force: request.force,
            source_job: job.source_job,
            retries_of: Some(id),
        };
        let record = SubmissionRecord {
            request,
            principal: who.name.clone(),
            names: who.grant.names(),
            // No key of a request has a line end.
            idempotency_key: key.map(|key| format!("retry {id}\n{key}")),
            jobs: vec![again],
        };
        let recorded = self.record(&record).await?;
        trial::crash_point("retry_after_commit_before_reply");
        recorded.jobs.into_iter().next().ok_or_else(|| Error::internal("a retry is one job"))
    }
}

/// Every file that the description lists is in the upload with that size and digest.
fn check_listed_files(streams: &[Stream], source: &SourceInfo) -> Result<()> {
    check_files(&source.files, |name| {
        let found = streams.iter().find(|s| s.name.as_str() == name)?;
        Some((found.length, found.sha256.clone().unwrap_or_default()))
    })
}

/// Every listed file is there with the listed size and digest; else `Invalid`, code `files_missing` or `file_differs`.
pub(super) fn check_files(
    listed: &[FileSpec],
    there: impl Fn(&str) -> Option<(u64, String)>,
) -> Result<()> {
    for file in listed {
        let Some((size, sha256)) = there(file.name.as_str()) else {
            let message = format!("the source description lists {}, which was not sent", file.name);
            return Err(Error::invalid(message).with_code("files_missing"));
        };
        if size != file.size {
            let message = format!(
                "{} has {size} bytes, and the source description says {}",
                file.name, file.size
            );
            return Err(Error::invalid(message).with_code("file_differs"));
        }
        if sha256 != file.sha256 {
            let message =
                format!("{} has another SHA-256 than the source description says", file.name);
            return Err(Error::invalid(message).with_code("file_differs"));
        }
    }
    Ok(())
}
