//! Submissions and jobs: what is asked; `submit`, `claim` and `advance` hold what changes them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tokio::sync::watch;

use super::claim::rank;
use super::{MemoryStorage, State, first};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{
    Attempt, Dist, Event, FormatName, Job, JobFilter, JobId, JobKind, JobStatus, Page, Repository,
    Route, StatusCounts, StreamOwner, StreamRole, Submission, SubmissionId, Suite, Target,
};
use crate::storage::{
    Advance, Change, Changes, Claim, JobStore, Lease, OutboxRow, Recorded, SubmissionRecord,
};

#[async_trait]
impl JobStore for MemoryStorage {
    async fn record_submission(
        &self,
        record: &SubmissionRecord,
        at: Timestamp,
    ) -> Result<Recorded> {
        let recorded = self.write(|state| state.record(record, at)).await?;
        self.changes.send_if_modified(|c| c.count_recorded(&recorded));
        Ok(recorded)
    }

    async fn submission(&self, id: SubmissionId) -> Result<Option<Submission>> {
        Ok(self.read().await?.submissions.get(&id).map(|row| row.submission.clone()))
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>> {
        Ok(self.read().await?.jobs.get(&id).map(|row| row.job.clone()))
    }

    async fn jobs(&self, filter: &JobFilter, page: &Page) -> Result<Vec<Job>> {
        let state = self.read().await?;
        let newest_first = state.jobs.values().rev().map(|row| &row.job);
        let asked = newest_first
            .filter(|j| page.before.is_none_or(|before| j.id < before) && matches(filter, j));
        Ok(first(asked.cloned(), page.limit))
    }

    async fn counts(&self) -> Result<StatusCounts> {
        let mut counts = StatusCounts::default();
        for row in self.read().await?.jobs.values() {
            *counts.0.entry(row.job.status).or_default() += 1;
        }
        Ok(counts)
    }

    async fn events(&self, id: JobId) -> Result<Vec<Event>> {
        Ok(self.read().await?.jobs.get(&id).map(|row| row.events.clone()).unwrap_or_default())
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>> {
        let state = self.read().await?;
        let rows = state.jobs.get(&id).map(|row| row.attempts.as_slice()).unwrap_or_default();
        let shown = |a: &Attempt| Attempt { log_length: state.log_length(a), ..a.clone() };
        Ok(rows.iter().map(|row| shown(&row.attempt)).collect())
    }

    async fn claim(&self, claim: &Claim, at: Timestamp) -> Result<Option<Job>> {
        self.write(|state| state.claim(claim, at)).await
    }

    async fn advance(&self, change: &Change, at: Timestamp) -> Result<Advance> {
        let advance = self.write(|state| state.advance(change, at)).await?;
        self.changes.send_if_modified(|c| c.count_advance(&advance));
        Ok(advance)
    }

    async fn outrun(
        &self,
        id: JobId,
        seen: u32,
        cause: &str,
        at: Timestamp,
    ) -> Result<Option<Job>> {
        self.write(|state| state.outrun(id, seen, cause, at)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>> {
        let state = self.read().await?;
        let held = state.jobs.values().map(|row| &row.job).filter(|j| j.status.is_held());
        Ok(held.map(|j| Lease { job: j.id, epoch: j.lease_epoch }).collect())
    }

    async fn blocked(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>> {
        let state = self.read().await?;
        let blocked = state.in_status(JobStatus::Blocked).filter(|j| Some(j.id) > after);
        Ok(first(blocked.cloned(), limit))
    }

    async fn uploaded(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        let state = self.read().await?;
        let uploaded = state.in_status(JobStatus::Uploaded).filter(|j| Some(j.id) > after);
        let ours = uploaded.filter(|j| {
            (&j.target.dist, &j.target.suite, &j.target.format) == (dist, suite, format)
        });
        Ok(first(ours.cloned(), limit))
    }

    async fn unpublishable(&self, limit: u32) -> Result<Vec<Job>> {
        let state = self.read().await?;
        let left = state.in_status(JobStatus::Uploaded).filter(|j| {
            let Target { dist, suite, format, .. } = &j.target;
            let takes = |r: &Repository| (&r.dist, &r.suite, &r.format) == (dist, suite, format);
            j.kind == JobKind::Source || !state.repositories.values().any(takes)
        });
        Ok(first(left.cloned(), limit))
    }

    async fn due_routes(&self, at: Timestamp) -> Result<Vec<Route>> {
        let state = self.read().await?;
        let due = state.in_status(JobStatus::Waiting).filter(|j| j.not_before <= at);
        let routes: BTreeSet<Route> = due.map(|j| j.target.route()).collect();
        Ok(routes.into_iter().collect())
    }

    async fn ahead_of(&self, job: &Job) -> Result<u64> {
        let state = self.read().await?;
        let ahead = state
            .in_status(JobStatus::Waiting)
            .filter(|j| j.target == job.target && rank(j) > rank(job));
        Ok(ahead.count() as u64)
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxRow>> {
        Ok(first(self.read().await?.outbox.values().cloned(), limit))
    }

    async fn mark_sent(&self, ids: &[i64]) -> Result<()> {
        self.write(|state| {
            for id in ids {
                state.outbox.remove(id);
            }
            Ok(())
        })
        .await
    }

    fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }
}

impl State {
    /// The jobs in a status, oldest first.
    fn in_status(&self, status: JobStatus) -> impl Iterator<Item = &Job> {
        self.jobs.values().map(|row| &row.job).filter(move |j| j.status == status)
    }

    fn log_length(&self, attempt: &Attempt) -> u64 {
        let owner = StreamOwner::Attempt { job: attempt.job, attempt: attempt.number };
        self.streams_of(owner).find(|s| s.role == StreamRole::Log).map_or(0, |s| s.length)
    }
}

fn matches(filter: &JobFilter, job: &Job) -> bool {
    fn agrees<T: PartialEq>(asked: Option<&T>, has: &T) -> bool {
        asked.is_none_or(|asked| asked == has)
    }
    agrees(filter.submission.as_ref(), &job.submission)
        && agrees(filter.status.as_ref(), &job.status)
        && agrees(filter.package.as_ref(), &job.package)
        && agrees(filter.dist.as_ref(), &job.target.dist)
        && agrees(filter.suite.as_ref(), &job.target.suite)
        && agrees(filter.arch.as_ref(), &job.target.arch)
        && (filter.client.is_none() || filter.client == job.client)
}
