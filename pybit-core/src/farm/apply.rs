//! How a decision takes effect although others decide at the same time.

use std::time::Duration;

use super::Farm;
use super::machine::{self, Command, Decision, Holder, Situation};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Job, JobId, JobStatus};
use crate::storage::{Advance, Change};
use crate::trial;

/// How often one command is decided anew before the caller is told to try again.
const MOST_RACES: usize = 20;

impl Farm {
    /// Decides and applies a command, again whenever somebody was faster. Returns the job as it is then, and the jobs
    /// that followed.
    pub(super) async fn apply(&self, id: JobId, command: &Command) -> Result<(Job, Vec<Job>)> {
        self.apply_to(self.job(id).await?, command).await
    }

    /// The same for a job as it was just read.
    pub(super) async fn apply_to(
        &self,
        mut job: Job,
        command: &Command,
    ) -> Result<(Job, Vec<Job>)> {
        let id = job.id;
        for _ in 0..MOST_RACES {
            let now = self.inner.clock.now();
            let situation = self.situation(job, command).await?;
            let (change, is_last) =
                match machine::decide(&situation, command, &self.inner.policy, now)? {
                    Decision::Already => return Ok((situation.job, Vec::new())),
                    Decision::Change(change) => (change, true),
                    Decision::ResumeFirst => (self.resumption(&situation, command)?, false),
                };
            match self.inner.storage.advance(&change, now).await? {
                Advance::Done(after, followed) if is_last => {
                    trial::crash_point("change_after_commit");
                    self.announce(&after, &followed);
                    return Ok((*after, followed));
                }
                Advance::Stale(current) if change.expected_lease.is_some() => {
                    return Ok((*current, Vec::new()));
                }
                Advance::Done(current, _) => {
                    trial::crash_point("resume_before_report");
                    job = *current;
                }
                Advance::Stale(current) => job = *current,
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("job {id} changes too often; try again")))
    }

    /// The change that takes a lapsed job up again before its late report is looked at.
    fn resumption(&self, situation: &Situation, command: &Command) -> Result<Box<Change>> {
        let holder = holder_of(command).ok_or_else(|| Error::internal("only a holder resumes"))?;
        let resume = Command::Resume(holder.clone());
        match machine::decide(situation, &resume, &self.inner.policy, self.inner.clock.now())? {
            Decision::Change(change) => Ok(change),
            _ => Err(Error::internal("a resumable job resumes")),
        }
    }

    async fn situation(&self, job: Job, command: &Command) -> Result<Situation> {
        let storage = &self.inner.storage;
        // Each is read where the decision looks at it.
        let told_again = holder_of(command).is_some() && !job.status.is_held();
        let attempts = if told_again { storage.attempts(job.id).await? } else { Vec::new() };
        let may_fail_infra =
            matches!(command, Command::Lapse { .. } | Command::Fail(..) | Command::Refuse(..));
        let client_streak = match &job.client {
            Some(name) if may_fail_infra => {
                storage.client(name).await?.map_or(0, |c| c.infra_streak)
            }
            _ => 0,
        };
        let last_outcome = attempts.last().and_then(|a| a.outcome);
        let may_wait_again = match command {
            Command::Lapse { .. } => true,
            Command::Fail(_, report) => report.failure.class.is_tried_again(),
            _ => false,
        };
        let others = may_wait_again && self.others_offer(&job).await?;
        Ok(Situation { job, last_outcome, client_streak, others })
    }

    /// Whether a live client besides the one that holds the job could be given it.
    async fn others_offer(&self, job: &Job) -> Result<bool> {
        let now = self.inner.clock.now();
        let ttl = Duration::from_millis(self.inner.policy.lease_ttl_ms);
        let clients = self.inner.storage.clients().await?;
        Ok(clients.iter().filter(|c| job.client.as_ref() != Some(&c.name)).any(|c| {
            c.offers.contains(&job.target)
                && !c.draining
                && c.quarantined_until <= now
                && now.since(c.seen_at) <= ttl
        }))
    }

    fn announce(&self, job: &Job, followed: &[Job]) {
        if job.status == JobStatus::Waiting || !followed.is_empty() {
            self.announce_unsent();
        }
    }
}

fn holder_of(command: &Command) -> Option<&Holder> {
    use Command::{Fail, Finish, Refuse, Resume, Stopped};
    match command {
        Resume(h) | Finish(h, _) | Fail(h, _) | Refuse(h, _) | Stopped(h, _) => Some(h),
        _ => None,
    }
}
