//! What a report or a request does to a job: pure decisions, one place for all of them.
//!
//! [`decide`] looks at the job as it is and says what it becomes. The caller applies the [`Change`] by compare-and-set on
//! the job's `row_version`; when somebody was faster it reads the job again and asks again.

use super::policy::Policy;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Avoid, ClientName, Failure, FailureClass, Job, JobId, JobStatus, Outcome, PackageName,
    Produced, Version,
};
use crate::storage::{AttemptEnd, Change, HealthMark, PlannedJob};

/// A job and what its decision depends on besides.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The job as it is.
    pub job: Job,
    /// How its newest attempt ended, if it has.
    pub last_outcome: Option<Outcome>,
    /// Infrastructure failures in a row of the client that holds it.
    pub client_streak: u32,
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
        Command::Resume(holder) => resume(at, holder),
        Command::Finish(holder, result) => finish(at, holder, result),
        Command::Fail(holder, report) => fail(at, holder, report, policy, now),
        Command::Refuse(holder, reason) => refuse(at, holder, reason, policy, now),
        Command::Stopped(holder, log) => stopped(at, holder, log.as_deref()),
        Command::Lapse { epoch, cause } => lapse(at, *epoch, cause, policy, now),
        Command::Cancel { actor, reason } => cancel(at, actor, reason),
        Command::Published { attempt, actor, cause } => published(at, *attempt, actor, cause),
        Command::Rejected { attempt, actor, reason } => rejected(at, *attempt, actor, reason),
        Command::Unblock(cause) => unblock(at, cause, now),
        Command::Expire => expire(at),
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
    if holder.attempt < job.attempt {
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

fn by_client(job: &Job, to: JobStatus, holder: &Holder, cause: impl Into<String>) -> Change {
    change(job, to, format!("client {}", holder.client), cause.into())
}

fn end(
    outcome: Outcome,
    failure: Option<Failure>,
    log_sha256: Option<String>,
) -> Option<AttemptEnd> {
    Some(AttemptEnd { outcome, failure, log_sha256 })
}

fn apply(change: Change) -> Result<Decision> {
    Ok(Decision::Change(Box::new(change)))
}

fn not_building(job: &Job) -> Error {
    let code = if job.status.is_terminal() { "job_has_ended" } else { "not_building" };
    Error::conflict(format!("job {} is {}", job.id, job.status)).with_code(code)
}

/// A job that its client let lapse, and that nobody has claimed since.
fn is_resumable(at: &Situation) -> bool {
    at.job.status == JobStatus::Waiting && at.last_outcome == Some(Outcome::Lost)
}

fn resume(at: &Situation, holder: &Holder) -> Result<Decision> {
    fence(&at.job, holder)?;
    if at.job.status.is_held() {
        return Ok(Decision::Already);
    }
    if !is_resumable(at) {
        return Err(not_building(&at.job));
    }
    let mut change = by_client(
        &at.job,
        JobStatus::Building,
        holder,
        "the client is back and nobody else had claimed it",
    );
    change.reopen_attempt = true;
    change.after.avoid = None;
    change.after.lost_by.retain(|c| *c != holder.client);
    change.after.infra_retries = at.job.infra_retries.saturating_sub(1);
    apply(change)
}

fn finish(at: &Situation, holder: &Holder, result: &Finished) -> Result<Decision> {
    fence(&at.job, holder)?;
    match at.job.status {
        JobStatus::Building => {}
        JobStatus::Uploaded | JobStatus::Done => return Ok(Decision::Already),
        JobStatus::Waiting if is_resumable(at) => return Ok(Decision::ResumeFirst),
        _ if at.last_outcome == Some(Outcome::Succeeded) => return Ok(Decision::Already),
        _ => return Err(not_building(&at.job)),
    }
    let mut change = by_client(&at.job, JobStatus::Uploaded, holder, "built");
    change.attempt_end = end(Outcome::Succeeded, None, Some(result.log_sha256.clone()));
    change.needs_files = true;
    change.health = Some(HealthMark::Well);
    change.follow.clone_from(&result.follow);
    change.after.produced.clone_from(&result.produced);
    if let Some((package, version, key)) = &result.identity {
        change.after.package = package.clone();
        change.after.version = Some(version.clone());
        change.version_key = Some(key.clone());
    }
    apply(change)
}

fn fail(
    at: &Situation,
    holder: &Holder,
    report: &Reported,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision> {
    fence(&at.job, holder)?;
    match at.job.status {
        JobStatus::Building => {}
        JobStatus::Waiting if is_resumable(at) => return Ok(Decision::ResumeFirst),
        _ if at.last_outcome == Some(Outcome::Failed) => return Ok(Decision::Already),
        _ => return Err(not_building(&at.job)),
    }
    let failure = &report.failure;
    let mut change = match failure.class {
        FailureClass::Infra => {
            infra(at, &format!("client {}", holder.client), &failure.message, policy, now)
        }
        FailureClass::DepWait => dep_wait(at, holder, report, policy, now),
        _ => {
            let mut change = by_client(&at.job, JobStatus::Failed, holder, failure.message.clone());
            change.after.failure = Some(failure.clone());
            change.health = Some(HealthMark::Well);
            change
        }
    };
    change.attempt_end = end(Outcome::Failed, Some(failure.clone()), report.log_sha256.clone());
    apply(change)
}

/// An infrastructure failure more: waits and is tried elsewhere, or fails when there were too many.
fn infra(at: &Situation, actor: &str, message: &str, policy: &Policy, now: Timestamp) -> Change {
    let job = &at.job;
    let count = job.infra_retries + 1;
    let exhausted = count > policy.infra_retries;
    let to = if exhausted { JobStatus::Failed } else { JobStatus::Waiting };
    let mut change = change(job, to, actor.to_owned(), message.to_owned());
    change.after.infra_retries = count;
    if exhausted {
        let message = format!("{message} (the last of {} tries)", policy.infra_retries + 1);
        change.after.failure = Some(Failure { class: FailureClass::Infra, message });
    } else {
        let pause = policy.infra_backoff(count, job.id.0 ^ i64::from(count));
        change.after.not_before = now.plus(pause);
        change.after.avoid = avoid(job, pause, policy, now);
    }
    let quarantine = policy.quarantine(at.client_streak + 1);
    change.health = Some(HealthMark::Ill {
        quarantined_until: quarantine.map_or(Timestamp::from_micros(0), |d| now.plus(d)),
    });
    change
}

/// Another client is preferred for a while after the job may run again.
fn avoid(job: &Job, pause: std::time::Duration, policy: &Policy, now: Timestamp) -> Option<Avoid> {
    let until = now.plus(pause).plus(std::time::Duration::from_millis(policy.avoid_ms));
    job.client.clone().map(|client| Avoid { client, until })
}

fn dep_wait(
    at: &Situation,
    holder: &Holder,
    report: &Reported,
    policy: &Policy,
    now: Timestamp,
) -> Change {
    let mut change = by_client(&at.job, JobStatus::Blocked, holder, report.failure.message.clone());
    change.after.dep_waits += 1;
    change.after.not_before = now.plus(policy.dep_wait(change.after.dep_waits));
    change.after.unmet.clone_from(&report.unmet);
    change.health = Some(HealthMark::Well);
    change
}

fn refuse(
    at: &Situation,
    holder: &Holder,
    reason: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision> {
    fence(&at.job, holder)?;
    match at.job.status {
        JobStatus::Building => {}
        JobStatus::Waiting if is_resumable(at) => return Ok(Decision::ResumeFirst),
        _ if at.last_outcome == Some(Outcome::Refused) => return Ok(Decision::Already),
        _ => return Err(not_building(&at.job)),
    }
    let mut change =
        by_client(&at.job, JobStatus::Waiting, holder, format!("given back: {reason}"));
    change.attempt_end = end(Outcome::Refused, None, None);
    change.after.avoid = avoid(&at.job, std::time::Duration::ZERO, policy, now);
    apply(change)
}

fn stopped(at: &Situation, holder: &Holder, log_sha256: Option<&str>) -> Result<Decision> {
    fence(&at.job, holder)?;
    match at.job.status {
        JobStatus::Cancelling => {}
        JobStatus::Cancelled => return Ok(Decision::Already),
        _ => return Err(not_building(&at.job)),
    }
    let mut change =
        by_client(&at.job, JobStatus::Cancelled, holder, "stopped; no process is left");
    change.attempt_end = end(Outcome::Cancelled, None, log_sha256.map(str::to_owned));
    apply(change)
}

fn lapse(
    at: &Situation,
    epoch: i64,
    cause: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision> {
    let job = &at.job;
    let mut change = match job.status {
        JobStatus::Building => lost(at, cause, policy, now),
        JobStatus::Cancelling => {
            change(job, JobStatus::Cancelled, "farm".to_owned(), cause.to_owned())
        }
        _ => return Ok(Decision::Already),
    };
    change.attempt_end = end(
        Outcome::Lost,
        Some(Failure { class: FailureClass::Infra, message: cause.to_owned() }),
        None,
    );
    change.expected_lease = Some(epoch);
    apply(change)
}

/// The client went away with the job: at once claimable by another, unless it takes every client down.
fn lost(at: &Situation, cause: &str, policy: &Policy, now: Timestamp) -> Change {
    let mut change = infra(at, "farm", cause, policy, now);
    let after = &mut change.after;
    if let Some(client) = at.job.client.clone().filter(|c| !at.job.lost_by.contains(c)) {
        after.lost_by.push(client);
    }
    if after.lost_by.len() >= policy.poison_after as usize {
        let message = format!(
            "{} build clients were lost on it; retry it when the reason is known",
            after.lost_by.len()
        );
        after.status = JobStatus::Failed;
        after.failure = Some(Failure { class: FailureClass::Poison, message });
    } else if after.status == JobStatus::Waiting {
        after.not_before = now;
        after.avoid = avoid(&at.job, std::time::Duration::ZERO, policy, now);
    }
    change
}

fn cancel(at: &Situation, actor: &str, reason: &str) -> Result<Decision> {
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
    apply(change(job, to, actor.to_owned(), reason.to_owned()))
}

fn published(at: &Situation, attempt: u32, actor: &str, cause: &str) -> Result<Decision> {
    same_attempt(&at.job, attempt)?;
    match at.job.status {
        JobStatus::Uploaded => {
            apply(change(&at.job, JobStatus::Done, actor.to_owned(), cause.to_owned()))
        }
        JobStatus::Done => Ok(Decision::Already),
        _ => Err(not_building(&at.job)),
    }
}

fn rejected(at: &Situation, attempt: u32, actor: &str, reason: &str) -> Result<Decision> {
    same_attempt(&at.job, attempt)?;
    match at.job.status {
        JobStatus::Uploaded => {
            let mut change =
                change(&at.job, JobStatus::Failed, actor.to_owned(), reason.to_owned());
            let message = format!("the repository refused it: {reason}");
            change.after.failure = Some(Failure { class: FailureClass::Policy, message });
            apply(change)
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

fn unblock(at: &Situation, cause: &str, now: Timestamp) -> Result<Decision> {
    if at.job.status != JobStatus::Blocked {
        return Ok(Decision::Already);
    }
    let mut change = change(&at.job, JobStatus::Waiting, "farm".to_owned(), cause.to_owned());
    change.after.unmet.clear();
    change.after.not_before = now;
    apply(change)
}

fn expire(at: &Situation) -> Result<Decision> {
    if at.job.status != JobStatus::Blocked {
        return Ok(Decision::Already);
    }
    let message = format!("its build dependencies never came: {}", at.job.unmet.join(", "));
    let mut change = change(&at.job, JobStatus::Failed, "farm".to_owned(), message.clone());
    change.after.failure = Some(Failure { class: FailureClass::DepWait, message });
    apply(change)
}

/// What a job's history calls the program itself.
pub const FARM: &str = "farm";

/// The sentence for a job that a newer version cancels.
pub fn superseded_cause(by: JobId, version: &Version) -> String {
    format!("superseded by job {by} ({version})")
}
