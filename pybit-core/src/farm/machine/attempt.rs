//! What the client that holds a job, or that is not heard of any more, does to it.

use std::time::Duration;

use super::{Decision, Finished, Holder, Reported, Situation, apply, change, fence, not_building};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::farm::policy::Policy;
use crate::model::{Avoid, Failure, FailureClass, Job, JobStatus, Outcome};
use crate::storage::{AttemptEnd, Change, HealthMark};
use crate::trial::{self, Mutation};

fn by_client(job: &Job, to: JobStatus, holder: &Holder, cause: impl Into<String>) -> Change {
    change(job, to, format!("client {}", holder.client), cause.into())
}

fn ended(outcome: Outcome, failure: Option<Failure>, log_sha256: Option<String>) -> AttemptEnd {
    AttemptEnd { outcome, failure, log_sha256 }
}

/// A job that its client let lapse, and that nobody has claimed since.
fn is_resumable(at: &Situation) -> bool {
    at.job.status == JobStatus::Waiting && at.last_outcome == Some(Outcome::Lost)
}

/// What a report that the attempt ended with `outcome` meets where the job is not building: it lapsed, or the report came
/// before.
fn unless_building(at: &Situation, outcome: Outcome) -> Result<Option<Decision>> {
    match at.job.status {
        JobStatus::Building => Ok(None),
        JobStatus::Cancelling if trial::is_broken(Mutation::FinishWhileCancelling) => Ok(None),
        JobStatus::Waiting if is_resumable(at) => Ok(Some(Decision::ResumeFirst)),
        _ if at.last_outcome == Some(outcome) => Ok(Some(Decision::Already)),
        _ => Err(not_building(&at.job)),
    }
}

pub(super) fn resume(at: &Situation, holder: &Holder) -> Result<Decision> {
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
    Ok(apply(change))
}

pub(super) fn finish(at: &Situation, holder: &Holder, result: &Finished) -> Result<Decision> {
    fence(&at.job, holder)?;
    if matches!(at.job.status, JobStatus::Uploaded | JobStatus::Done) {
        return Ok(Decision::Already);
    }
    if let Some(decided) = unless_building(at, Outcome::Succeeded)? {
        return Ok(decided);
    }
    let mut change = by_client(&at.job, JobStatus::Uploaded, holder, "built");
    change.attempt_end = Some(ended(Outcome::Succeeded, None, Some(result.log_sha256.clone())));
    change.needs_files = true;
    change.health = Some(HealthMark::Well);
    change.follow.clone_from(&result.follow);
    change.after.produced.clone_from(&result.produced);
    if let Some((package, version, key)) = &result.identity {
        change.after.package = package.clone();
        change.after.version = Some(version.clone());
        change.version_key = Some(key.clone());
    }
    Ok(apply(change))
}

pub(super) fn fail(
    at: &Situation,
    holder: &Holder,
    report: &Reported,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision> {
    fence(&at.job, holder)?;
    if let Some(decided) = unless_building(at, Outcome::Failed)? {
        return Ok(decided);
    }
    let failure = &report.failure;
    let mut change = match failure.class {
        class if class.is_tried_again() => {
            let actor = format!("client {}", holder.client);
            let mut change = again(at, &actor, failure, policy, now);
            change.health = (class == FailureClass::Infra).then(|| ill(at, policy, now));
            change
        }
        FailureClass::DepWait => dep_wait(at, holder, report, policy, now),
        _ => {
            let mut change = by_client(&at.job, JobStatus::Failed, holder, failure.message.clone());
            change.after.failure = Some(failure.clone());
            change.health = (!failure.class.is_without_blame()).then_some(HealthMark::Well);
            change
        }
    };
    change.attempt_end =
        Some(ended(Outcome::Failed, Some(failure.clone()), report.log_sha256.clone()));
    Ok(apply(change))
}

/// A failure more that time or another client can help: waits and is tried elsewhere, or fails when there were too many.
fn again(
    at: &Situation,
    actor: &str,
    failure: &Failure,
    policy: &Policy,
    now: Timestamp,
) -> Change {
    let (job, message) = (&at.job, &failure.message);
    let count = job.infra_retries + 1;
    let exhausted = count > policy.infra_retries;
    let to = if exhausted { JobStatus::Failed } else { JobStatus::Waiting };
    let mut change = change(job, to, actor.to_owned(), message.clone());
    change.after.infra_retries = count;
    if exhausted {
        let message = format!("{message} (the last of {} tries)", policy.infra_retries + 1);
        change.after.failure = Some(Failure { class: failure.class, message });
    } else {
        let pause = policy.infra_backoff(count, job.id.0 ^ i64::from(count));
        change.after.not_before = now.plus(pause);
        change.after.avoid = at.others.then(|| avoid(job, pause, policy, now)).flatten();
    }
    change
}

/// One infrastructure failure more of the client: a quarantine from the third in a row on.
fn ill(at: &Situation, policy: &Policy, now: Timestamp) -> HealthMark {
    let quarantine = policy.quarantine(at.client_streak + 1);
    HealthMark::Ill {
        quarantined_until: quarantine.map_or(Timestamp::from_micros(0), |d| now.plus(d)),
    }
}

/// Another client is preferred for a while after the job may run again.
fn avoid(job: &Job, pause: Duration, policy: &Policy, now: Timestamp) -> Option<Avoid> {
    let until = now.plus(pause).plus(Duration::from_millis(policy.avoid_ms));
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

pub(super) fn refuse(
    at: &Situation,
    holder: &Holder,
    reason: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Decision> {
    fence(&at.job, holder)?;
    if let Some(decided) = unless_building(at, Outcome::Refused)? {
        return Ok(decided);
    }
    let mut change =
        by_client(&at.job, JobStatus::Waiting, holder, format!("given back: {reason}"));
    change.attempt_end = Some(ended(Outcome::Refused, None, None));
    // Also where there is no other: what it refuses it would claim and refuse again at once.
    change.after.avoid = avoid(&at.job, Duration::ZERO, policy, now);
    Ok(apply(change))
}

pub(super) fn stopped(
    at: &Situation,
    holder: &Holder,
    log_sha256: Option<&str>,
) -> Result<Decision> {
    fence(&at.job, holder)?;
    match at.job.status {
        JobStatus::Cancelling => {}
        JobStatus::Cancelled => return Ok(Decision::Already),
        _ => return Err(not_building(&at.job)),
    }
    let mut change =
        by_client(&at.job, JobStatus::Cancelled, holder, "stopped; no process is left");
    change.attempt_end = Some(ended(Outcome::Cancelled, None, log_sha256.map(str::to_owned)));
    Ok(apply(change))
}

pub(super) fn lapse(
    at: &Situation,
    epoch: i64,
    cause: &str,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let job = &at.job;
    let failure = Failure { class: FailureClass::Infra, message: cause.to_owned() };
    let mut change = match job.status {
        JobStatus::Building => lost(at, &failure, policy, now),
        JobStatus::Cancelling => {
            change(job, JobStatus::Cancelled, "farm".to_owned(), cause.to_owned())
        }
        _ => return Decision::Already,
    };
    change.attempt_end = Some(ended(Outcome::Lost, Some(failure), None));
    change.expected_lease = Some(epoch);
    apply(change)
}

/// The client went away with the job: at once claimable by another, unless it takes every client down.
fn lost(at: &Situation, failure: &Failure, policy: &Policy, now: Timestamp) -> Change {
    let mut change = again(at, "farm", failure, policy, now);
    change.health = Some(ill(at, policy, now));
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
        after.avoid = at.others.then(|| avoid(&at.job, Duration::ZERO, policy, now)).flatten();
    }
    change
}
