//! One decided change takes effect, or nothing does.

use super::{Act, JobRow, State};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::farm::machine::FARM;
use crate::model::{Attempt, ClientName, Job, JobId, JobStatus, Outcome, StreamOwner, StreamRole};
use crate::storage::{Advance, AttemptEnd, Change, HealthMark};

impl State {
    pub(super) fn advance(&mut self, change: &Change, at: Timestamp) -> Result<Advance> {
        let row = self.row(change.after.id)?;
        let lease_stands = change.expected_lease.is_none_or(|e| e == row.job.lease_epoch);
        if row.job.row_version != change.expected || !lease_stands {
            return Ok(Advance::Stale(Box::new(row.job.clone())));
        }
        self.check_change(row, change)?;
        let submission = row.job.submission;
        self.check_plan(submission, &change.follow)?;

        let act = Act { actor: &change.actor, cause: &change.cause, at };
        let row = self.row_mut(change.after.id)?;
        let holder = row.job.client.clone();
        overwrite(row, change);
        row.move_attempt(change, at);
        self.set_status(change.after.id, change.after.status, act)?;
        self.mark_health(holder.as_ref(), change.health);
        let followed = self.plant_all(submission, &change.follow, act)?;
        Ok(Advance::Done(Box::new(self.row(change.after.id)?.job.clone()), followed))
    }

    pub(super) fn outrun(
        &mut self,
        id: JobId,
        seen: u32,
        cause: &str,
        at: Timestamp,
    ) -> Result<Option<Job>> {
        let Some(row) = self.jobs.get_mut(&id) else { return Ok(None) };
        let status = row.job.status;
        if !matches!(status, JobStatus::Waiting | JobStatus::Blocked) || row.job.attempt >= seen {
            return Ok(None);
        }
        row.job.attempt = seen.saturating_add(1);
        row.job.client = None;
        self.set_status(id, status, Act { actor: FARM, cause, at })?;
        Ok(Some(self.row(id)?.job.clone()))
    }

    fn check_change(&self, row: &JobRow, change: &Change) -> Result<()> {
        let (job, to) = (&row.job, change.after.status);
        if !job.status.may_become(to) {
            let message = format!("job {} is {} and cannot become {to}", job.id, job.status);
            return Err(Error::internal(message).with_code("illegal_transition"));
        }
        if change.needs_files {
            self.check_files(job)?;
        }
        row.check_attempt(change)
    }

    fn check_files(&self, job: &Job) -> Result<()> {
        let owner = StreamOwner::Attempt { job: job.id, attempt: job.attempt };
        let incomplete =
            self.streams_of(owner).find(|s| s.role == StreamRole::File && s.object.is_none());
        let Some(stream) = incomplete else { return Ok(()) };
        let message = format!(
            "the file {} of attempt {} of job {} is incomplete",
            stream.name, job.attempt, job.id
        );
        Err(Error::conflict(message).with_code("files_incomplete"))
    }

    fn mark_health(&mut self, client: Option<&ClientName>, mark: Option<HealthMark>) {
        let Some(client) = client.and_then(|name| self.clients.get_mut(name)) else { return };
        match mark {
            None => {}
            Some(HealthMark::Well) => {
                client.infra_streak = 0;
                client.quarantined_until = Timestamp::from_micros(0);
            }
            Some(HealthMark::Ill { quarantined_until }) => {
                client.infra_streak += 1;
                client.quarantined_until = quarantined_until;
            }
        }
    }
}

impl JobRow {
    /// Whether the newest attempt can end, or go on, as the change says.
    fn check_attempt(&self, change: &Change) -> Result<()> {
        let id = self.job.id;
        if !change.reopen_attempt && change.attempt_end.is_none() {
            return Ok(());
        }
        let Some((newest, older)) = self.attempts.split_last() else {
            return Err(Error::internal(format!("job {id} has no attempt")));
        };
        let Some(end) = &change.attempt_end else { return Ok(()) };
        let succeeded = |a: &Attempt| a.outcome == Some(Outcome::Succeeded);
        if end.outcome == Outcome::Succeeded && older.iter().any(|a| succeeded(&a.attempt)) {
            let message = format!("job {id} already has an attempt that succeeded");
            return Err(Error::conflict(message).with_code("already_succeeded"));
        }
        if newest.attempt.outcome.is_some() && !change.reopen_attempt {
            let message =
                format!("attempt {} of job {id} has already ended", newest.attempt.number);
            return Err(Error::conflict(message).with_code("attempt_ended"));
        }
        Ok(())
    }

    fn move_attempt(&mut self, change: &Change, at: Timestamp) {
        let Some(newest) = self.attempts.last_mut() else { return };
        let attempt = &mut newest.attempt;
        if change.reopen_attempt {
            attempt.outcome = None;
            attempt.failure = None;
            attempt.log_sha256 = None;
            attempt.ended_at = None;
        }
        if let Some(AttemptEnd { outcome, failure, log_sha256 }) = &change.attempt_end {
            attempt.outcome = Some(*outcome);
            attempt.failure.clone_from(failure);
            attempt.log_sha256.clone_from(log_sha256);
            attempt.ended_at = Some(at);
        }
    }
}

/// Takes over the mutable fields. Status, row version and lease follow with the event; the rest never changes.
fn overwrite(row: &mut JobRow, change: &Change) {
    let (job, after) = (&mut row.job, change.after.clone());
    job.package = after.package;
    job.version = after.version;
    job.client = after.client;
    job.infra_retries = after.infra_retries;
    job.dep_waits = after.dep_waits;
    job.lost_by = after.lost_by;
    job.avoid = after.avoid;
    job.not_before = after.not_before;
    job.priority = after.priority;
    job.weight = after.weight;
    job.unmet = after.unmet;
    job.failure = after.failure;
    job.produced = after.produced;
    job.superseded_by = after.superseded_by;
    if let Some(key) = &change.version_key {
        row.version_key = Some(key.clone());
    }
}
