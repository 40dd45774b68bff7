//! A client takes the best job that it can build.

use std::cmp::Reverse;

use super::{Act, AttemptRow, JobRow, State};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{Attempt, Job, JobStatus};
use crate::storage::Claim;

impl State {
    pub(super) fn claim(&mut self, claim: &Claim, at: Timestamp) -> Result<Option<Job>> {
        if let Some((row, number)) = self.asked_before(claim) {
            let holds = row.job.attempt == number && row.job.status.is_held();
            return if holds { Ok(Some(row.job.clone())) } else { Err(Claim::over(row.job.id)) };
        }
        let claimable = |job: &&Job| {
            let avoids = |a: &crate::model::Avoid| a.client == claim.client && a.until > at;
            job.status == JobStatus::Waiting
                && claim.offers.contains(&job.target)
                && !job.is_paused(at)
                && !job.avoid.as_ref().is_some_and(avoids)
        };
        let jobs = self.jobs.values().map(|row| &row.job);
        let best = jobs.filter(claimable).max_by_key(|j| rank_for(claim, j)).map(|j| j.id);
        let Some(id) = best else { return Ok(None) };
        let job = &mut self.row_mut(id)?.job;
        job.attempt += 1;
        job.client = Some(claim.client.clone());
        let number = job.attempt;
        let actor = format!("client {}", claim.client);
        self.set_status(id, JobStatus::Building, Act { actor: &actor, cause: "claimed", at })?;
        self.add_log(id, number)?;
        let row = self.row_mut(id)?;
        let attempt = Attempt {
            job: id,
            number,
            client: claim.client.clone(),
            boot: claim.boot.clone(),
            outcome: None,
            failure: None,
            log_length: 0,
            log_sha256: None,
            started_at: at,
            ended_at: None,
        };
        row.attempts.push(AttemptRow { attempt, claim_id: claim.claim_id.clone() });
        Ok(Some(row.job.clone()))
    }

    /// The job and attempt number that this claim got when it was asked the first time.
    fn asked_before(&self, claim: &Claim) -> Option<(&JobRow, u32)> {
        let same =
            |a: &&AttemptRow| a.claim_id == claim.claim_id && a.attempt.client == claim.client;
        self.jobs
            .values()
            .find_map(|row| Some((row, row.attempts.iter().find(same)?.attempt.number)))
    }
}

/// The same among those that a client could take.
fn rank_for(claim: &Claim, job: &Job) -> (i32, i64, Reverse<i64>) {
    let (priority, weight, age) = rank(job);
    (priority, i64::from(weight) + i64::from(claim.own_weight(&job.target)), age)
}

/// The place of a job among those that wait: the greatest is claimed first.
pub(super) fn rank(job: &Job) -> (i32, i32, Reverse<i64>) {
    (job.priority, job.weight, Reverse(job.id.0))
}
