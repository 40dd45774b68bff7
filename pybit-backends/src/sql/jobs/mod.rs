//! Submissions, jobs, attempts, events, and the outbox.
//!
//! `prepare` waits for what a transaction decides on, `plant` puts one planned job in the ground: version rules, supersede,
//! row, event, hint. `record`, `claim` and `advance`
//! are the three ways in which a job's status moves; `history` and `rows` are their common ground. `record_many`,
//! `claim_many` and `advance_many` do the same for callers that come at the same time, as far as theirs is the usual case.

mod advance;
mod advance_many;
mod claim;
mod claim_many;
mod history;
mod many;
mod plant;
mod prepare;
mod read;
mod record;
mod record_many;
mod rows;
mod taking;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{
    Attempt, Dist, Event, FormatName, Job, JobFilter, JobId, Page, Route, StatusCounts, Submission,
    SubmissionId, Suite,
};
use pybit_core::storage::{
    Advance, Change, Changes, Claim, JobStore, Lease, OutboxRow, Recorded, SubmissionRecord,
};
use tokio::sync::watch;

pub(super) use advance_many::Step;
pub(super) use claim_many::Ask;
pub(super) use record_many::Wish;
pub(super) use rows::{job, target};
pub(super) use taking::Taking;

use super::group::Answer;
use super::{Dialect, SqlStore};

/// How often a claim is asked with others before it goes alone. Most of those that get no answer chose a job that was taken
/// a moment before; the next look finds another, and one that goes alone would be in the way of all the others.
const MOST_TOGETHER: usize = 3;

#[async_trait]
impl<D: Dialect> JobStore for SqlStore<D> {
    async fn record_submission(
        &self,
        record: &SubmissionRecord,
        at: Timestamp,
    ) -> Result<Recorded> {
        let store = self.clone();
        let together = move |wishes: Vec<Wish>| {
            let store = store.clone();
            async move {
                let recorded = store.in_time(record_many::record(&store, &wishes)).await;
                for one in recorded.iter().flatten().flatten() {
                    store.submissions.keep(one.submission.id, one.submission.clone());
                    store.news.made(|changes| changes.count_recorded(one));
                }
                many::answers(wishes.len(), recorded)
            }
        };
        if let Answer::Done(recorded) =
            self.records.join((record.clone(), at), D::AT_ONCE, together).await
        {
            return recorded;
        }
        let recorded = self.again(|| record::record(self, record, at)).await?;
        self.news.made(|changes| changes.count_recorded(&recorded));
        Ok(recorded)
    }

    async fn submission(&self, id: SubmissionId) -> Result<Option<Submission>> {
        if let Some(known) = self.submissions.get(id) {
            return Ok(Some(known));
        }
        let found = self.again(|| read::submission(self, id)).await?;
        if let Some(found) = &found {
            self.submissions.keep(id, found.clone());
        }
        Ok(found)
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>> {
        self.again(|| read::job(self, id)).await
    }

    async fn jobs(&self, filter: &JobFilter, page: &Page) -> Result<Vec<Job>> {
        self.again(|| read::jobs(self, filter, page)).await
    }

    async fn counts(&self) -> Result<StatusCounts> {
        self.again(|| read::counts(self)).await
    }

    async fn events(&self, id: JobId) -> Result<Vec<Event>> {
        self.again(|| read::events(self, id)).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>> {
        self.again(|| read::attempts(self, id)).await
    }

    async fn claim(&self, claim: &Claim, at: Timestamp) -> Result<Option<Job>> {
        for _ in 0..MOST_TOGETHER {
            let store = self.clone();
            let together = move |asks: Vec<Ask>| {
                let store = store.clone();
                async move {
                    let claimed = store.in_time(claim_many::claim(&store, &asks)).await;
                    many::answers(asks.len(), claimed)
                }
            };
            let asked = self.claims.join((claim.clone(), at), D::AT_ONCE, together).await;
            if let Answer::Done(claimed) = asked {
                return claimed;
            }
            self.taking.ended(claim).await;
        }
        self.again(|| claim::claim(self, claim, at)).await
    }

    async fn advance(&self, change: &Change, at: Timestamp) -> Result<Advance> {
        let store = self.clone();
        let together = move |steps: Vec<Step>| {
            let store = store.clone();
            async move {
                let advanced = store.in_time(advance_many::advance(&store, &steps)).await;
                for one in advanced.iter().flatten().flatten() {
                    store.news.made(|changes| changes.count_advance(one));
                }
                many::answers(steps.len(), advanced)
            }
        };
        if let Answer::Done(advanced) =
            self.advances.join((change.clone(), at), D::AT_ONCE, together).await
        {
            return advanced;
        }
        let advance = self.again(|| advance::advance(self, change, at)).await?;
        self.news.made(|changes| changes.count_advance(&advance));
        Ok(advance)
    }

    async fn outrun(
        &self,
        id: JobId,
        seen: u32,
        cause: &str,
        at: Timestamp,
    ) -> Result<Option<Job>> {
        self.again(|| advance::outrun(self, id, seen, cause, at)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>> {
        self.again(|| read::leases(self)).await
    }

    async fn blocked(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>> {
        self.again(|| read::blocked(self, after, limit)).await
    }

    async fn uploaded(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>> {
        self.again(|| read::uploaded(self, dist, suite, format, after, limit)).await
    }

    async fn unpublishable(&self, limit: u32) -> Result<Vec<Job>> {
        self.again(|| read::unpublishable(self, limit)).await
    }

    async fn due_routes(&self, at: Timestamp) -> Result<Vec<Route>> {
        self.again(|| read::due_routes(self, at)).await
    }

    async fn ahead_of(&self, job: &Job) -> Result<u64> {
        self.again(|| read::ahead_of(self, job)).await
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxRow>> {
        self.again(|| history::outbox(self, limit)).await
    }

    async fn mark_sent(&self, ids: &[i64]) -> Result<()> {
        self.again(|| history::mark_sent(self, ids)).await
    }

    fn changes(&self) -> watch::Receiver<Changes> {
        self.news.seen().subscribe()
    }
}
