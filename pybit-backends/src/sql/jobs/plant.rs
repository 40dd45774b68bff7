//! A planned job becomes a job: the version rules, what it supersedes, its row, event and hint.
//!
//! Jobs of one submission neither refuse nor supersede each other.

use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobKind, JobStatus, SubmissionId, Version};
use pybit_core::storage::PlannedJob;
use pybit_core::{Error, Result};

use super::history::{Act, note};
use super::prepare::Held;
use super::rows;
use crate::sql::statement::Statement;
use crate::sql::{Call, Dialect, statements as sql};

/// Plants every job of a plan that was prepared, in its order.
pub(super) async fn plant_all<D: Dialect>(
    connection: &mut D::Connection,
    submission: SubmissionId,
    planned: &[PlannedJob],
    mut held: Held,
    act: Act<'_>,
) -> Result<Vec<Job>> {
    let mut jobs = Vec::with_capacity(planned.len());
    for (place, one) in planned.iter().enumerate() {
        let older = held.take_older(place);
        jobs.push(plant::<D>(connection, submission, one, &older, act).await?);
    }
    Ok(jobs)
}

async fn plant<D: Dialect>(
    connection: &mut D::Connection,
    submission: SubmissionId,
    planned: &PlannedJob,
    older: &[Job],
    act: Act<'_>,
) -> Result<Job> {
    let Some((version, key)) = &planned.version else {
        let job = add::<D>(connection, submission, planned, act.at).await?;
        note::<D>(connection, &job, None, act).await?;
        return Ok(job);
    };
    if !planned.force {
        refuse_older::<D>(connection, submission, planned, version, key).await?;
        refuse_equal::<D>(connection, submission, planned, version, key).await?;
    }
    // Out of the way first, because only one unfinished job may have this version; the pointer follows. An equal one is
    // among them only where force has let it pass the rules.
    let cause = format!("superseded by version {version}");
    for one in older {
        end_one::<D>(connection, one, Act { cause: &cause, ..act }).await?;
    }
    let job = add::<D>(connection, submission, planned, act.at).await?;
    for one in older {
        Call::<D>::new(&sql::JOB_POINT_TO_NEWER)
            .int(one.id.0)
            .int(job.id.0)
            .run_one(connection)
            .await?;
    }
    note::<D>(connection, &job, None, act).await?;
    if planned.kind == JobKind::Binary {
        of_package::<D>(&sql::PACKAGE_HEAD, planned).int(job.id.0).run(connection).await?;
    }
    Ok(job)
}

/// A statement about the package in its suite: its first four parameters.
fn of_package<D: Dialect>(statement: &'static Statement, planned: &PlannedJob) -> Call<D> {
    let target = &planned.target;
    Call::new(statement)
        .text(planned.package.as_str())
        .text(target.dist.as_str())
        .text(target.suite.as_str())
        .text(target.format.as_str())
}

async fn refuse_older<D: Dialect>(
    connection: &mut D::Connection,
    submission: SubmissionId,
    planned: &PlannedJob,
    version: &Version,
    key: &[u8],
) -> Result<()> {
    let target = &planned.target;
    let newer = of_package::<D>(&sql::JOB_NEWER_VERSION, planned)
        .blob(Some(key))
        .int(submission.0)
        .first(connection, rows::job)
        .await?;
    let Some(job) = newer else {
        return Ok(());
    };
    let has = job.version.map_or_else(String::new, |v| v.to_string());
    let message = format!(
        "{} {version} is older than {has}, which {}/{} has or gets by job {}; submit it with force to build it all the \
         same",
        planned.package, target.dist, target.suite, job.id
    );
    Err(Error::conflict(message).with_code("older_version"))
}

async fn refuse_equal<D: Dialect>(
    connection: &mut D::Connection,
    submission: SubmissionId,
    planned: &PlannedJob,
    version: &Version,
    key: &[u8],
) -> Result<()> {
    let target = &planned.target;
    let equal = of_package::<D>(&sql::JOB_SAME_VERSION, planned)
        .blob(Some(key))
        .int(submission.0)
        .text(target.arch.as_str())
        .text(target.env.as_str())
        .first(connection, rows::job)
        .await?;
    let Some(job) = equal else {
        return Ok(());
    };
    let message = format!(
        "{} {version} for {target} is job {} already, which is {}; submit it with force to build it again",
        planned.package, job.id, job.status
    );
    Err(Error::conflict(message).with_code("same_version"))
}

async fn end_one<D: Dialect>(
    connection: &mut D::Connection,
    job: &Job,
    act: Act<'_>,
) -> Result<()> {
    let held = job.status == JobStatus::Building;
    let status = if held { JobStatus::Cancelling } else { JobStatus::Cancelled };
    Call::<D>::new(&sql::JOB_SUPERSEDE)
        .int(job.id.0)
        .int(job.row_version)
        .text(status.as_str())
        .at(act.at)
        .run_one(connection)
        .await?;
    let after = Job { status, row_version: job.row_version + 1, ..job.clone() };
    note::<D>(connection, &after, Some(job.status), act).await
}

async fn add<D: Dialect>(
    connection: &mut D::Connection,
    submission: SubmissionId,
    planned: &PlannedJob,
    at: Timestamp,
) -> Result<Job> {
    let (target, version) = (&planned.target, planned.version.as_ref());
    Call::<D>::new(&sql::JOB_ADD)
        .int(submission.0)
        .text(planned.kind.as_str())
        .text(planned.package.as_str())
        .maybe_text(version.map(|(version, _)| version.as_str()))
        .blob(version.map(|(_, key)| key.as_slice()))
        .text(target.dist.as_str())
        .text(target.suite.as_str())
        .text(target.arch.as_str())
        .text(target.format.as_str())
        .text(target.env.as_str())
        .flag(planned.master)
        .int(planned.weight)
        .int(planned.priority)
        .maybe_int(planned.source_job.map(|j| j.0))
        .maybe_int(planned.retries_of.map(|j| j.0))
        // From the start of time, not from now: a server whose wall clock runs behind may hand it out at once.
        .at(Timestamp::from_micros(0))
        .at(at)
        .one(connection, rows::job)
        .await
}
