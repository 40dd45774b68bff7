//! What build clients and the watcher report.

use futures_util::{StreamExt, TryStreamExt, future, stream};
use sha2::{Digest, Sha256};

use super::Farm;
use super::machine::{Command, FARM, Finished, Holder, Reported};
use super::plan;
use super::submit::check_files;
use crate::base::NAME_OF_DISTRIBUTION;
use crate::error::{Error, Result};
use crate::model::{
    ClientName, Failure, FailureClass, Job, JobId, JobKind, JobStatus, Produced, Repository,
    Stream, StreamOwner, StreamRole,
};
use crate::protocol::{FailRequest, FinishRequest, LogDigest, UploadedSet};
use crate::trial;

/// Results whose files are looked up at once.
const SETS_AT_ONCE: usize = 4;
/// The most text that is kept of a message from a client.
const LONGEST_MESSAGE: usize = 2000;

impl Farm {
    /// Takes a complete result. `main` is the content of a source job's source description, which the caller has read
    /// from the object store.
    ///
    /// The log must be whole, every file must be complete, and exactly the declared ones: else `Conflict`
    /// (`log_incomplete`, `files_incomplete`). A source that the farm will not build fails the job instead.
    pub async fn finish(
        &self,
        client: &ClientName,
        id: JobId,
        request: &FinishRequest,
        main: Option<&[u8]>,
    ) -> Result<Job> {
        let holder = Holder { client: client.clone(), attempt: request.attempt };
        let job = self.held_job(id, &holder).await?;
        if !matches!(job.status, JobStatus::Building | JobStatus::Waiting) {
            let command = Command::Finish(holder, Box::new(finished(request)));
            return self.apply_to(job, &command).await.map(|(job, _)| job);
        }
        let owner = StreamOwner::Attempt { job: id, attempt: request.attempt };
        let streams = self.inner.storage.streams(owner).await?;
        check_log(&streams, &request.log)?;
        check_result_files(&streams, request)?;
        let mut result = finished(request);
        if job.kind == JobKind::Source
            && let Err(error) = self.read_source_result(&job, request, main, &mut result).await
        {
            return self.fail_result(&job, holder, request, error).await;
        }
        if let Err(error) = self.check_produced(&job, request).await {
            return self.fail_result(&job, holder, request, error).await;
        }
        let command = Command::Finish(holder.clone(), Box::new(result));
        trial::crash_point("finish_checked_before_commit");
        match self.apply_to(job.clone(), &command).await {
            Ok((job, _)) => {
                trial::crash_point("finish_after_commit_before_settle");
                self.settle(job).await
            }
            Err(error) if job.kind == JobKind::Source && is_version_refusal(&error) => {
                self.fail_result(&job, holder, request, error).await
            }
            Err(error) => Err(error),
        }
    }

    async fn read_source_result(
        &self,
        job: &Job,
        request: &FinishRequest,
        main: Option<&[u8]>,
        result: &mut Finished,
    ) -> Result<()> {
        if request.source.is_none() {
            return Err(
                Error::invalid("a source job reports its source package").with_code("no_source")
            );
        }
        let format = self.format(&job.target.format)?;
        let bytes =
            main.ok_or_else(|| Error::internal("the caller reads the source description"))?;
        let source = format.read_source(bytes)?;
        check_files(&source.files, |name| {
            let found = request.files.iter().find(|f| f.name.as_str() == name)?;
            Some((found.size, found.sha256.clone()))
        })?;
        let submission = self.inner.storage.submission(job.submission).await?;
        let asked = submission.ok_or_else(|| Error::internal("a job has a submission"))?;
        let sha256 = hex::encode(Sha256::digest(bytes));
        result.follow = self.plan_after_source(job, &asked, &source, &sha256).await?;
        let key = format.versions().key(source.version.as_str())?;
        result.identity = Some((source.package, source.version, key));
        Ok(())
    }

    /// Refuses, `Invalid`, code `blocked`, a result with a package that a block rule matches by its name or by a name that it provides.
    async fn check_produced(&self, job: &Job, request: &FinishRequest) -> Result<()> {
        if job.kind == JobKind::Source {
            return Ok(());
        }
        let catalogue = self.inner.storage.catalogue().await?;
        let names: Vec<_> = request.produced.iter().map(|p| &p.name).collect();
        plan::check_package_rules(&catalogue, &names)
    }

    /// A result that was made but is not accepted ends the job with the reason: asking again would not change it.
    async fn fail_result(
        &self,
        job: &Job,
        holder: Holder,
        request: &FinishRequest,
        error: Error,
    ) -> Result<Job> {
        if error.is_retryable() || error.kind() == crate::ErrorKind::Internal {
            return Err(error);
        }
        let class = if is_refusal(&error) { FailureClass::Policy } else { FailureClass::Source };
        let failure = Failure { class, message: clipped(error.message()) };
        let reported =
            Reported { failure, unmet: Vec::new(), log_sha256: Some(request.log.sha256.clone()) };
        self.apply(job.id, &Command::Fail(holder, reported)).await.map(|(job, _)| job)
    }

    /// A result that nobody has to publish is done: a source package, or one of a suite without a repository.
    pub(super) async fn settle(&self, job: Job) -> Result<Job> {
        if job.status != JobStatus::Uploaded {
            return Ok(job);
        }
        let cause = if job.kind == JobKind::Source {
            "the source package is complete".to_owned()
        } else {
            let catalogue = self.inner.storage.catalogue().await?;
            let target = &job.target;
            if catalogue.repository(&target.dist, &target.suite, &target.format).is_some() {
                return Ok(job);
            }
            "complete; the suite has no repository to publish into".to_owned()
        };
        let command = Command::Published { attempt: job.attempt, actor: FARM.to_owned(), cause };
        let (job, _) = self.apply_to(job, &command).await?;
        trial::crash_point("settle_after_commit_before_wake");
        self.free_blocked(&job).await?;
        Ok(job)
    }

    /// Takes a failure.
    pub async fn fail(&self, client: &ClientName, id: JobId, request: &FailRequest) -> Result<Job> {
        let holder = Holder { client: client.clone(), attempt: request.attempt };
        self.held_job(id, &holder).await?;
        let owner = StreamOwner::Attempt { job: id, attempt: request.attempt };
        check_log(&self.inner.storage.streams(owner).await?, &request.log)?;
        let class = request.failure.class;
        if class == FailureClass::Poison {
            return Err(Error::invalid("a client cannot call a job poison")
                .with_code("invalid_failure_class"));
        }
        let failure = Failure { class, message: clipped(&request.failure.message) };
        let unmet = request.unmet.iter().take(200).map(|r| clipped(r)).collect();
        let reported = Reported { failure, unmet, log_sha256: Some(request.log.sha256.clone()) };
        let (job, _) = self.apply(id, &Command::Fail(holder, reported)).await?;
        trial::crash_point("fail_after_commit_before_reply");
        Ok(job)
    }

    /// Takes a job back from a client that cannot build it.
    pub async fn refuse(
        &self,
        client: &ClientName,
        id: JobId,
        attempt: u32,
        reason: &str,
    ) -> Result<Job> {
        let holder = Holder { client: client.clone(), attempt };
        let job = self.held_job(id, &holder).await?;
        let (job, _) = self.apply_to(job, &Command::Refuse(holder, clipped(reason))).await?;
        trial::crash_point("refuse_after_commit_before_reply");
        Ok(job)
    }

    /// Takes the word that a cancelled job has stopped.
    pub async fn stopped(
        &self,
        client: &ClientName,
        id: JobId,
        attempt: u32,
        log: &LogDigest,
    ) -> Result<Job> {
        let holder = Holder { client: client.clone(), attempt };
        let job = self.held_job(id, &holder).await?;
        // A confirmation does not wait for the last lines: the digest of a log that did not arrive whole would be of another.
        let streams = self.inner.storage.streams(StreamOwner::Attempt { job: id, attempt }).await?;
        let whole = check_log(&streams, log).is_ok();
        let command = Command::Stopped(holder, whole.then(|| log.sha256.clone()));
        let (job, _) = self.apply_to(job, &command).await?;
        trial::crash_point("stopped_after_commit_before_reply");
        Ok(job)
    }

    /// The results that a repository has to publish, oldest first: some at once, from the one behind `after` on.
    pub async fn uploaded_sets(
        &self,
        repository: &Repository,
        after: Option<JobId>,
    ) -> Result<Vec<UploadedSet>> {
        let Repository { dist, suite, format, .. } = repository;
        let jobs = self.inner.storage.uploaded(dist, suite, format, after, 50).await?;
        let sets = jobs.into_iter().filter(|j| j.kind == JobKind::Binary).map(|j| self.set_of(j));
        stream::iter(sets).buffered(SETS_AT_ONCE).try_collect().await
    }

    async fn set_of(&self, job: Job) -> Result<UploadedSet> {
        let owner = StreamOwner::Attempt { job: job.id, attempt: job.attempt };
        let (files, source_files) =
            future::try_join(self.files_of(owner), self.source_files(&job)).await?;
        Ok(UploadedSet { job, files, source_files })
    }

    /// The repository holds the result: `Uploaded` becomes `Done`, and jobs that waited for it are freed.
    pub async fn published(
        &self,
        actor: &str,
        id: JobId,
        attempt: u32,
        place: &str,
    ) -> Result<Job> {
        let cause = format!("published in {}", clipped(place));
        let command = Command::Published { attempt, actor: actor.to_owned(), cause };
        let (job, _) = self.apply(id, &command).await?;
        trial::crash_point("published_after_commit_before_wake");
        self.free_blocked(&job).await?;
        Ok(job)
    }

    /// The repository refuses the result: `Uploaded` becomes `Failed`.
    pub async fn rejected(
        &self,
        actor: &str,
        id: JobId,
        attempt: u32,
        reason: &str,
    ) -> Result<Job> {
        let command =
            Command::Rejected { attempt, actor: actor.to_owned(), reason: clipped(reason) };
        self.apply(id, &command).await.map(|(job, _)| job)
    }

    /// Wakes every blocked job that one of these packages satisfies; none where a removal took the packages away before a publication
    /// is reported once more.
    pub(super) async fn free_blocked(&self, done: &Job) -> Result<u32> {
        if done.produced.is_empty() || done.status != JobStatus::Done {
            return Ok(0);
        }
        let blocked = self.all_blocked().await?;
        if blocked.is_empty() || !self.inner.storage.withdrawn(&[done.id]).await?.is_empty() {
            return Ok(0);
        }
        let mut freed = 0;
        for job in blocked {
            if let Some(cause) = self.frees(done, &job)? {
                self.apply(job.id, &Command::Unblock(cause)).await?;
                freed += 1;
                trial::crash_point("wake_between_jobs");
            }
        }
        Ok(freed)
    }

    /// Every blocked job, oldest first.
    pub(super) async fn all_blocked(&self) -> Result<Vec<Job>> {
        let mut all: Vec<Job> = Vec::new();
        loop {
            let more = self.inner.storage.blocked(all.last().map(|j| j.id), 1000).await?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    /// Why a publication frees a blocked job; `None` where it does not.
    fn frees(&self, done: &Job, job: &Job) -> Result<Option<String>> {
        if job.target.dist != done.target.dist || job.target.suite != done.target.suite {
            return Ok(None);
        }
        let format = self.format(&job.target.format)?;
        let met = |p: &&Produced| job.unmet.iter().any(|relation| format.satisfies(relation, p));
        let package = done.produced.iter().find(met);
        let cause = |p: &Produced| format!("job {} published {} {}", done.id, p.name, p.version);
        Ok(package.map(cause))
    }

    /// Wakes a blocked job whose dependency came while nobody could wake it: the server ended between the publication and
    /// the wake, or the job was still building. Each of the newest results wakes a job once at most.
    pub(super) async fn free_forgotten(&self, job: &Job, newest: &[Job]) -> Result<bool> {
        for done in newest {
            let Some(cause) = self.frees(done, job)? else { continue };
            let attempts = self.inner.storage.attempts(job.id).await?;
            let missed = attempts.last().is_some_and(|a| done.changed_at >= a.started_at);
            if !missed || self.inner.storage.events(job.id).await?.iter().any(|e| e.cause == cause)
            {
                continue;
            }
            let (job, _) = self.apply(job.id, &Command::Unblock(cause)).await?;
            return Ok(job.status == JobStatus::Waiting);
        }
        Ok(false)
    }
}

/// The log on the server is as long as the client's.
fn check_log(streams: &[Stream], log: &LogDigest) -> Result<()> {
    let length = streams.iter().find(|s| s.role == StreamRole::Log).map_or(0, |s| s.length);
    if length == log.length {
        return Ok(());
    }
    let message =
        format!("the server has {length} of the log's {} bytes; send the rest first", log.length);
    Err(Error::conflict(message).with_code("log_incomplete"))
}

/// Every file of the result is complete on the server, as it was declared.
fn check_result_files(streams: &[Stream], request: &FinishRequest) -> Result<()> {
    let complete =
        |name: &str| streams.iter().find(|s| s.name.as_str() == name && s.object.is_some());
    if let Some(missing) = request.files.iter().find(|f| complete(f.name.as_str()).is_none()) {
        let message = format!("{} has not arrived whole; send it first", missing.name);
        return Err(Error::conflict(message).with_code("files_incomplete"));
    }
    check_files(&request.files, |name| {
        let found = complete(name)?;
        Some((found.length, found.sha256.clone().unwrap_or_default()))
    })
}

fn finished(request: &FinishRequest) -> Finished {
    Finished {
        log_sha256: request.log.sha256.clone(),
        produced: request.produced.iter().take(1000).cloned().collect(),
        identity: None,
        follow: Vec::new(),
    }
}

/// Whether the farm could build it and will not.
fn is_refusal(error: &Error) -> bool {
    is_version_refusal(error)
        || matches!(error.code(), "blocked" | "name_owned" | NAME_OF_DISTRIBUTION)
}

fn is_version_refusal(error: &Error) -> bool {
    matches!(error.code(), "older_version" | "same_version")
}

fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').take(LONGEST_MESSAGE).collect()
}
