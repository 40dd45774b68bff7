//! Rows into jobs, attempts, events and submissions.

use pybit_core::Result;
use pybit_core::model::{
    Attempt, Avoid, Event, Failure, Job, JobId, JobKind, Outcome, Route, Submission, SubmissionId,
    Target,
};

use crate::sql::{Cells, Dialect};

pub(in crate::sql) fn job<D: Dialect>(c: &Cells<'_, D>) -> Result<Job> {
    Ok(Job {
        id: JobId(c.int("id")?),
        submission: SubmissionId(c.int("submission")?),
        kind: c.word("kind", &[JobKind::Source, JobKind::Binary], JobKind::as_str)?,
        package: c.parsed("package")?,
        version: c.maybe_parsed("version")?,
        target: target(c)?,
        master: c.flag("master")?,
        status: c.parsed("status")?,
        row_version: c.int("row_version")?,
        attempt: c.int("attempt")?,
        client: c.maybe_parsed("client")?,
        lease_epoch: c.int("lease_epoch")?,
        infra_retries: c.int("infra_retries")?,
        dep_waits: c.int("dep_waits")?,
        lost_by: c.json("lost_by")?,
        avoid: avoid(c)?,
        not_before: c.at("not_before")?,
        priority: c.int("priority")?,
        weight: c.int("weight")?,
        unmet: c.json("unmet")?,
        failure: failure(c)?,
        produced: c.json("produced")?,
        source_job: c.maybe_int("source_job")?.map(JobId),
        retries_of: c.maybe_int("retries_of")?.map(JobId),
        superseded_by: c.maybe_int("superseded_by")?.map(JobId),
        created_at: c.at("created_at")?,
        changed_at: c.at("changed_at")?,
    })
}

pub(in crate::sql) fn target<D: Dialect>(c: &Cells<'_, D>) -> Result<Target> {
    Ok(Target {
        dist: c.parsed("dist")?,
        suite: c.parsed("suite")?,
        arch: c.parsed("arch")?,
        format: c.parsed("format")?,
        env: c.parsed("env")?,
    })
}

pub(super) fn route<D: Dialect>(c: &Cells<'_, D>) -> Result<Route> {
    Ok(Route {
        dist: c.parsed("dist")?,
        arch: c.parsed("arch")?,
        suite: c.parsed("suite")?,
        format: c.parsed("format")?,
    })
}

pub(super) fn avoid<D: Dialect>(c: &Cells<'_, D>) -> Result<Option<Avoid>> {
    let (client, until) = (c.maybe_parsed("avoid_client")?, c.maybe_at("avoid_until")?);
    Ok(client.zip(until).map(|(client, until)| Avoid { client, until }))
}

fn failure<D: Dialect>(c: &Cells<'_, D>) -> Result<Option<Failure>> {
    let (class, message) = (c.maybe_parsed("failure_class")?, c.maybe_text("failure_message")?);
    Ok(class.zip(message).map(|(class, message)| Failure { class, message }))
}

pub(super) fn attempt<D: Dialect>(c: &Cells<'_, D>) -> Result<Attempt> {
    let ended = c.maybe_text("outcome")?.is_some();
    Ok(Attempt {
        job: JobId(c.int("job")?),
        number: c.int("number")?,
        client: c.parsed("client")?,
        boot: c.text("boot")?,
        outcome: ended.then(|| c.word("outcome", &Outcome::ALL, Outcome::as_str)).transpose()?,
        failure: failure(c)?,
        log_length: c.int("log_length")?,
        log_sha256: c.maybe_text("log_sha256")?,
        started_at: c.at("started_at")?,
        ended_at: c.maybe_at("ended_at")?,
    })
}

pub(super) fn event<D: Dialect>(c: &Cells<'_, D>) -> Result<Event> {
    Ok(Event {
        job: JobId(c.int("job")?),
        number: c.int("number")?,
        attempt: c.int("attempt")?,
        from: c.maybe_parsed("from_status")?,
        to: c.parsed("to_status")?,
        actor: c.text("actor")?,
        cause: c.text("cause")?,
        at: c.at("at")?,
    })
}

pub(super) fn submission<D: Dialect>(c: &Cells<'_, D>) -> Result<Submission> {
    Ok(Submission {
        id: SubmissionId(c.int("id")?),
        request: c.json("request")?,
        principal: c.text("principal")?,
        names: c.json("names")?,
        created_at: c.at("created_at")?,
    })
}
