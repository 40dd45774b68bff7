//! Ending jobs on request.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Farm;
use super::machine::Command;
use crate::error::{Error, Result};
use crate::model::{Job, JobFilter, JobId, JobStatus, PackageName, Page, SubmissionId};
use crate::transport::{Command as Order, Recipient};
use crate::trial;

/// Jobs that are cancelled beside each other: the storage changes such together.
const AT_ONCE: usize = 64;

impl Farm {
    /// Cancels a job: at once where nobody builds it, else through `Cancelling` until its client confirms. Cancelling
    /// twice is harmless.
    pub async fn cancel(&self, actor: &str, id: JobId, reason: Option<&str>) -> Result<Job> {
        let reason = reason.map_or_else(
            || "cancelled on request".to_owned(),
            |r| format!("cancelled: {}", short(r)),
        );
        let command = Command::Cancel { actor: actor.to_owned(), reason };
        let (job, _) = self.apply(id, &command).await?;
        trial::crash_point("cancel_after_commit_before_order");
        self.hurry(&job).await;
        Ok(job)
    }

    /// Cancels every unfinished job, of one package or of the farm, and returns them as they are then.
    pub async fn cancel_many(
        &self,
        actor: &str,
        package: Option<&PackageName>,
        reason: Option<&str>,
    ) -> Result<Vec<Job>> {
        let mut ended = Vec::new();
        for status in [JobStatus::Waiting, JobStatus::Blocked, JobStatus::Building] {
            let filter = JobFilter {
                status: Some(status),
                package: package.cloned(),
                ..JobFilter::default()
            };
            let mut page = Page::first(200);
            loop {
                let jobs = self.inner.storage.jobs(&filter, &page).await?;
                let Some(last) = jobs.last().map(|j| j.id) else { break };
                ended.extend(self.cancel_all(actor, jobs, reason).await?);
                page.before = Some(last);
            }
        }
        Ok(ended)
    }

    /// Cancels every unfinished job of these submissions, and returns them as they are then. A submission that is not there has none.
    pub async fn cancel_submissions(
        &self,
        actor: &str,
        submissions: &[SubmissionId],
        reason: Option<&str>,
    ) -> Result<Vec<Job>> {
        let one = |id: SubmissionId| async move {
            let filter = JobFilter { submission: Some(id), ..JobFilter::default() };
            let mut page = Page::first(200);
            let mut unfinished = Vec::new();
            loop {
                let jobs = self.inner.storage.jobs(&filter, &page).await?;
                page.before = jobs.last().map(|j| j.id);
                unfinished.extend(jobs.into_iter().filter(|j| !j.status.is_terminal()));
                if page.before.is_none() {
                    break;
                }
            }
            self.cancel_all(actor, unfinished, reason).await
        };
        let all = stream::iter(submissions.to_vec()).map(one).buffered(AT_ONCE);
        Ok(all.try_collect::<Vec<_>>().await?.concat())
    }

    /// Those of these that have not ended meanwhile.
    async fn cancel_all(
        &self,
        actor: &str,
        jobs: Vec<Job>,
        reason: Option<&str>,
    ) -> Result<Vec<Job>> {
        let one = |job: Job| async move {
            match self.cancel(actor, job.id, reason).await {
                Ok(job) => Ok(Some(job)),
                Err(e) if e.code() == "job_has_ended" => Ok(None),
                Err(e) => Err(e),
            }
        };
        let all = stream::iter(jobs).map(one).buffered(AT_ONCE);
        Ok(all.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    /// Tells the client that holds a cancelled job to ask now; its next heartbeat would tell it anyway.
    pub(super) async fn hurry(&self, job: &Job) {
        if let (JobStatus::Cancelling, Some(client)) = (job.status, job.client.clone()) {
            // A command that is lost costs at most one heartbeat.
            let _ =
                self.inner.transport.send_command(&Recipient::Client(client), &Order::Beat).await;
        }
    }

    /// Tells a client to take no more jobs, or to take some again.
    pub async fn set_draining(
        &self,
        client: &crate::model::ClientName,
        draining: bool,
    ) -> Result<()> {
        if !self.inner.storage.set_draining(client, draining).await? {
            return Err(Error::not_found(format!("there is no build client {client}"))
                .with_code("unknown_client"));
        }
        let _ = self
            .inner
            .transport
            .send_command(&Recipient::Client(client.clone()), &Order::Beat)
            .await;
        if !draining {
            self.announce_work();
        }
        Ok(())
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
