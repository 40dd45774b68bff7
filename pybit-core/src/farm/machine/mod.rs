//! What a report or a request does to a job: pure decisions, one place for all of them.
//!
//! [`decide`] looks at the job as it is and says what it becomes. The caller applies the [`Change`] by compare-and-set on
//! the job's `row_version`; when somebody was faster it reads the job again and asks again.

mod attempt;
mod request;

use super::policy::Policy;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ClientName, Failure, Job, JobStatus, Outcome, PackageName, Produced, Version};
use crate::storage::{Change, PlannedJob};
use crate::trial::{self, Mutation};

/// A job and what its decision depends on besides.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The job as it is.
    pub job: Job,
    /// How its newest attempt ended, if it has.
    pub last_outcome: Option<Outcome>,
    /// Infrastructure failures in a row of the client that holds it.
    pub client_streak: u32,
    /// Whether another client, live and willing, offers its target. Where none does, there is nobody to prefer.
    pub others: bool,
}

/// Who speaks for an attempt: the fencing token and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The client.
    pub client: ClientName,
    /// The attempt number.
    pub attempt: u32,
}

/// Something that happens to a job.
#[derive(Debug, Clone)]
pub enum Command {
    /// The client that was thought lost reports again, and nobody else has claimed the job: it goes on.
    Resume(Holder),
    /// The result is complete.
    Finish(Holder, Box<Finished>),
    /// It did not build.
    Fail(Holder, Reported),
    /// The client gives it back.
    Refuse(Holder, String),
    /// The client has stopped it.
    Stopped(Holder, Option<String>),
    /// The lease has stood still for its time to live, or the client came back without the job.
    Lapse {
        /// The lease epoch that must still stand.
        epoch: i64,
        /// Why, in words.
        cause: String,
    },
    /// Somebody asks for its end.
    Cancel {
        /// Who.
        actor: String,
        /// Why, in words.
        reason: String,
    },
    /// The repository holds the result of this attempt.
    Published {
        /// The attempt.
        attempt: u32,
        /// Who says so, and the repository state, for the history.
        actor: String,
        /// Where, in words.
        cause: String,
    },
    /// The repository refuses the result of this attempt.
    Rejected {
        /// The attempt.
        attempt: u32,
        /// Who says so.
        actor: String,
        /// Why.
        reason: String,
    },
    /// A missing build dependency has come, or its pause is over.
    Unblock(String),
    /// It has waited for its build dependencies too long.
    Expire,
}

/// A complete result.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The digest of the whole log.
    pub log_sha256: String,
    /// The binary packages in it.
    pub produced: Vec<Produced>,
    /// What a source job has read: name, version, sort key.
    pub identity: Option<(PackageName, Version, Vec<u8>)>,
    /// The binary jobs that a source job leads to.
    pub follow: Vec<PlannedJob>,
}

/// A reported failure.
#[derive(Debug, Clone)]
pub struct Reported {
    /// Class and sentence.
    pub failure: Failure,
    /// The missing relations of a dep-wait.
    pub unmet: Vec<String>,
    /// The digest of the whole log, where there is one.
    pub log_sha256: Option<String>,
}

/// What a command comes to.
#[derive(Debug)]
pub enum Decision {
    /// Apply this.
    Change(Box<Change>),
    /// It has already happened: answer as the first time, change nothing.
    Already,
    /// The client was thought lost: apply [`Command::Resume`], then ask again.
    ResumeFirst,
}

/// What `command` does to the job.
///
/// Refusals: `Conflict` with code `stale_attempt` or `future_attempt` for another attempt number, `not_building` or
/// `job_has_ended` where the status does not allow it; `Denied` with code `not_your_job` for another client.
pub fn decide(
    at: &Situation,
    command: &Command,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision> {
    match command {
        Command::Resume(holder) => attempt::resume(at, holder),
        Command::Finish(holder, result) => attempt::finish(at, holder, result),
        Command::Fail(holder, report) => attempt::fail(at, holder, report, policy, now),
        Command::Refuse(holder, reason) => attempt::refuse(at, holder, reason, policy, now),
        Command::Stopped(holder, log) => attempt::stopped(at, holder, log.as_deref()),
        Command::Lapse { epoch, cause } => Ok(attempt::lapse(at, *epoch, cause, policy, now)),
        Command::Cancel { actor, reason } => request::cancel(at, actor, reason),
        Command::Published { attempt, actor, cause } => {
            request::published(at, *attempt, actor, cause)
        }
        Command::Rejected { attempt, actor, reason } => {
            request::rejected(at, *attempt, actor, reason)
        }
        Command::Unblock(cause) => Ok(request::unblock(at, cause, now)),
        Command::Expire => Ok(request::expire(at)),
    }
}

/// Checks the fencing token: an older or future attempt and another client's job are refused.
pub fn fence(job: &Job, holder: &Holder) -> Result<()> {
    let stale = |code, what: &str| {
        Err(Error::conflict(format!(
            "attempt {} of job {} {what}; its newest attempt is {}",
            holder.attempt, job.id, job.attempt
        ))
        .with_code(code))
    };
    let by_client = trial::is_broken(Mutation::FenceByClient);
    if holder.attempt < job.attempt && !by_client {
        return stale("stale_attempt", "is over");
    }
    if holder.attempt > job.attempt {
        return stale("future_attempt", "was never given");
    }
    if job.client.as_ref() != Some(&holder.client) {
        let message = format!("job {} is not held by client {}", job.id, holder.client);
        return Err(Error::new(ErrorKind::Denied, message).with_code("not_your_job"));
    }
    Ok(())
}

fn change(job: &Job, to: JobStatus, actor: String, cause: String) -> Change {
    let mut after = job.clone();
    after.status = to;
    after.row_version += 1;
    Change {
        expected: job.row_version,
        expected_lease: None,
        after,
        actor,
        cause,
        attempt_end: None,
        reopen_attempt: false,
        needs_files: false,
        follow: Vec::new(),
        version_key: None,
        health: None,
    }
}

fn apply(change: Change) -> Decision {
    Decision::Change(Box::new(change))
}

fn not_building(job: &Job) -> Error {
    let code = if job.status.is_terminal() { "job_has_ended" } else { "not_building" };
    Error::conflict(format!("job {} is {}", job.id, job.status)).with_code(code)
}

/// What a job's history calls the program itself.
pub const FARM: &str = "farm";
