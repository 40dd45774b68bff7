//! What people, the repository and the passing of time do to a job.

use super::{Decision, FARM, Situation, apply, change, not_building};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{Failure, FailureClass, Job, JobStatus};

pub(super) fn cancel(at: &Situation, actor: &str, reason: &str) -> Result<Decision> {
    let job = &at.job;
    let to = match job.status {
        JobStatus::Waiting | JobStatus::Blocked => JobStatus::Cancelled,
        JobStatus::Building => JobStatus::Cancelling,
        JobStatus::Cancelling | JobStatus::Cancelled => return Ok(Decision::Already),
        JobStatus::Uploaded | JobStatus::Done | JobStatus::Failed => {
            let message =
                format!("job {} is {}: there is nothing left to cancel", job.id, job.status);
            return Err(Error::conflict(message).with_code("job_has_ended"));
        }
    };
    Ok(apply(change(job, to, actor.to_owned(), reason.to_owned())))
}

pub(super) fn published(
    at: &Situation,
    attempt: u32,
    actor: &str,
    cause: &str,
) -> Result<Decision> {
    same_attempt(&at.job, attempt)?;
    match at.job.status {
        JobStatus::Uploaded => {
            Ok(apply(change(&at.job, JobStatus::Done, actor.to_owned(), cause.to_owned())))
        }
        JobStatus::Done => Ok(Decision::Already),
        _ => Err(not_building(&at.job)),
    }
}

pub(super) fn rejected(
    at: &Situation,
    attempt: u32,
    actor: &str,
    reason: &str,
) -> Result<Decision> {
    same_attempt(&at.job, attempt)?;
    match at.job.status {
        JobStatus::Uploaded => {
            let mut change =
                change(&at.job, JobStatus::Failed, actor.to_owned(), reason.to_owned());
            let message = format!("the repository refused it: {reason}");
            change.after.failure = Some(Failure { class: FailureClass::Policy, message });
            Ok(apply(change))
        }
        JobStatus::Failed => Ok(Decision::Already),
        _ => Err(not_building(&at.job)),
    }
}

fn same_attempt(job: &Job, attempt: u32) -> Result<()> {
    if attempt == job.attempt {
        return Ok(());
    }
    let code = if attempt < job.attempt { "stale_attempt" } else { "future_attempt" };
    Err(Error::conflict(format!(
        "the result of job {} is of attempt {}, not {attempt}",
        job.id, job.attempt
    ))
    .with_code(code))
}

pub(super) fn unblock(at: &Situation, cause: &str, now: Timestamp) -> Decision {
    if at.job.status != JobStatus::Blocked {
        return Decision::Already;
    }
    let mut change = change(&at.job, JobStatus::Waiting, FARM.to_owned(), cause.to_owned());
    change.after.unmet.clear();
    change.after.not_before = now;
    apply(change)
}

pub(super) fn expire(at: &Situation) -> Decision {
    if at.job.status != JobStatus::Blocked {
        return Decision::Already;
    }
    let message = format!("its build dependencies never came: {}", at.job.unmet.join(", "));
    let mut change = change(&at.job, JobStatus::Failed, FARM.to_owned(), message.clone());
    change.after.failure = Some(Failure { class: FailureClass::DepWait, message });
    apply(change)
}
