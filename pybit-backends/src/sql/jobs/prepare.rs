//! Everything that a transaction on jobs waits for, before it decides anything: turns first, then rows by number.

use std::collections::BTreeMap;

use pybit_core::Result;
use pybit_core::model::{Job, JobId, JobStatus, SubmissionId};
use pybit_core::storage::PlannedJob;

use super::rows;
use crate::sql::{Call, Dialect, statements as sql, turns};

/// The jobs that a transaction holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    jobs: BTreeMap<JobId, Job>,
    /// For each planned job, the older ones that it replaces.
    older: Vec<Vec<JobId>>,
}

impl Held {
    /// A job that was asked for; `None` where there is none.
    pub(super) fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The unfinished jobs that the planned job of this place replaces, by number. Each is given out once.
    pub(super) fn take_older(&mut self, place: usize) -> Vec<Job> {
        use JobStatus::{Blocked, Building, Waiting};
        let older = self.older.get(place).map(Vec::as_slice).unwrap_or_default();
        let jobs = older.iter().filter_map(|id| self.jobs.remove(id));
        jobs.filter(|job| matches!(job.status, Waiting | Blocked | Building)).collect()
    }
}

/// Holds the job `id`, where one is named, and what planting `planned` for `submission` decides on. Two submissions of one
/// package to one suite go one after the other; what they replace is found before it is held, in the order of numbers.
pub(super) async fn prepare<D: Dialect>(
    connection: &mut D::Connection,
    id: Option<JobId>,
    submission: SubmissionId,
    planned: &[PlannedJob],
) -> Result<Held> {
    turns::take::<D>(connection, planned.iter().filter_map(turn)).await?;
    let mut held = Held::default();
    for one in planned {
        held.older.push(older::<D>(connection, submission, one).await?);
    }
    let mut ids: Vec<JobId> = held.older.iter().flatten().copied().chain(id).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let job = Call::<D>::new(&sql::JOB_LOCK).int(id.0).first(connection, rows::job).await?;
        held.jobs.extend(job.map(|job| (id, job)));
    }
    Ok(held)
}

/// What has versions is decided on by package and suite, whatever the architecture.
pub(super) fn turn(planned: &PlannedJob) -> Option<String> {
    let target = &planned.target;
    planned.version.as_ref()?;
    Some(format!("{} {}/{} {}", planned.package, target.dist, target.suite, target.format))
}

/// The unfinished jobs of the same instance with at most this version. Nothing joins them before the transaction ends.
async fn older<D: Dialect>(
    connection: &mut D::Connection,
    submission: SubmissionId,
    planned: &PlannedJob,
) -> Result<Vec<JobId>> {
    let Some((_, key)) = &planned.version else { return Ok(Vec::new()) };
    let target = &planned.target;
    Call::<D>::new(&sql::JOBS_SUPERSEDED)
        .text(planned.package.as_str())
        .text(target.dist.as_str())
        .text(target.suite.as_str())
        .text(target.arch.as_str())
        .text(target.format.as_str())
        .text(target.env.as_str())
        .blob(Some(key))
        .int(submission.0)
        .all(connection, |c| Ok(JobId(c.int("id")?)))
        .await
}
