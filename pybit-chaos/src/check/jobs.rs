//! I1 to I7: jobs and their events.

use std::collections::{BTreeMap, BTreeSet};

use pybit::core::model::JobStatus;

use super::world::Job;
use super::{Evidence, Outcome};
use crate::plan::Story;

/// I1: what was accepted is there, once.
pub(super) fn promised(e: &Evidence) -> Outcome {
    let mut out =
        Outcome::new("every accepted submission exists, as exactly one set of jobs per key");
    let mut by_key: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for key in &e.world.keys {
        by_key.entry(&key.key).or_default().insert(key.submission);
    }
    for (promise, order) in e.promises.iter().zip(&e.plan.orders) {
        let name = &promise.key;
        let Some(submission) = promise.submission else {
            // Two versions of one package may come in the wrong order; nothing else is refused for good.
            let older = promise.refused.as_ref().is_some_and(|r| r.contains("is older than"));
            let twice = matches!(order.story, Story::Superseded(_)) || order.version == "2.0";
            out.look(older && twice, || {
                format!(
                    "{name} was never accepted: {:?} after {} repeats",
                    promise.refused, promise.again
                )
            });
            continue;
        };
        let there = by_key.get(name.as_str());
        out.look(there == Some(&BTreeSet::from([submission])), || {
            format!("{name} was promised submission {submission}, the database has {there:?}")
        });
        for job in promise.jobs.iter().chain(&promise.retried) {
            out.look(e.world.job(*job).is_some(), || format!("{name}: job {job} is lost"));
        }
        let own =
            e.world.jobs.iter().filter(|j| j.submission == submission && j.retries_of.is_none());
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for job in own {
            *kinds.entry(&job.kind).or_default() += 1;
        }
        let right = kinds.values().all(|n| *n == 1) && !kinds.is_empty();
        out.look(right, || format!("{name}: submission {submission} has {kinds:?}"));
    }
    // A retry is a submission of its own; its key is kept with the job that it repeats.
    let (retries, firsts): (Vec<_>, Vec<_>) = by_key
        .iter()
        .partition::<Vec<(&&str, &BTreeSet<i64>)>, _>(|(key, _)| key.starts_with("retry "));
    let known: BTreeSet<&str> = e.promises.iter().map(|p| p.key.as_str()).collect();
    let strangers = firsts.iter().filter(|(key, _)| !known.contains(**key)).count();
    out.look(strangers == 0, || format!("{strangers} keys that nobody sent"));
    for (key, submissions) in retries {
        let of = key.strip_prefix("retry ").and_then(|k| k.split('\n').next()?.parse::<i64>().ok());
        let new: Vec<_> =
            e.world.jobs.iter().filter(|j| submissions.contains(&j.submission)).collect();
        let right = matches!(&new[..], [job] if job.retries_of == of && of.is_some());
        out.look(right, || format!("{key:?} made {} jobs in {submissions:?}", new.len()));
    }
    let submissions = e.world.submissions.iter().filter(|s| s.principal == "submitter").count();
    out.look(submissions == by_key.len(), || {
        format!("{submissions} submissions for {} keys", by_key.len())
    });
    out
}

fn status(text: &str) -> Option<JobStatus> {
    text.parse().ok()
}

/// I2: events are numbered without a gap, and follow the table.
pub(super) fn gapless(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "each job's events are 1..n, each edge is in the table, the last is the job's status",
    );
    for job in &e.world.jobs {
        let events = e.world.events.get(&job.id).map_or(&[][..], Vec::as_slice);
        let numbered = events.iter().zip(1..).all(|(event, n)| event.number == n);
        out.look(numbered && !events.is_empty(), || format!("job {}: gaps in its events", job.id));
        let mut before: Option<&str> = None;
        for event in events {
            let from = event.from_status.as_deref();
            let legal = match (from.and_then(status), status(&event.to_status)) {
                (None, Some(to)) => to == JobStatus::Waiting && from.is_none(),
                (Some(from), Some(to)) => from == to || from.may_become(to),
                _ => false,
            };
            out.look(legal && from == before, || {
                format!(
                    "job {} event {}: {before:?}, then {from:?} to {}",
                    job.id, event.number, event.to_status
                )
            });
            before = Some(&event.to_status);
        }
        out.look(before == Some(&job.status), || {
            format!("job {} is {}, its events end {before:?}", job.id, job.status)
        });
        let last = events.last().map_or(0, |e| e.number);
        out.look(last <= job.row_version, || format!("job {}: more events than versions", job.id));
    }
    out
}

/// I3: one result.
pub(super) fn one_success(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("at most one attempt of a job succeeded");
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for (job, _) in e.world.succeeded() {
        *counts.entry(job.id).or_default() += 1;
    }
    for (job, count) in counts {
        out.look(count == 1, || format!("job {job}: {count} attempts succeeded"));
    }
    out
}

/// I4: nothing follows an end.
pub(super) fn ends_are_ends(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("no event leaves Done, Failed or Cancelled");
    for event in e.world.events.values().flatten() {
        let from = event.from_status.as_deref().and_then(status);
        out.look(!from.is_some_and(JobStatus::is_terminal), || {
            format!("job {} event {} leaves {:?}", event.job, event.number, event.from_status)
        });
    }
    // What a submitter was told about an end stays true.
    for promise in &e.promises {
        for (job, told) in &promise.cancelled {
            let ended = status(told).is_some_and(JobStatus::is_terminal);
            let now = e.world.job(*job).map(|j| j.status.as_str());
            out.look(!ended || now == Some(told.as_str()), || {
                format!("job {job} was said to be {told} and is {now:?}")
            });
        }
    }
    out
}

/// I5: nobody writes with an old token.
pub(super) fn no_stale_write(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "no client's write carries an attempt older than the job's, nor another client's",
    );
    for events in e.world.events.values() {
        let mut newest = 0;
        for event in events {
            let stale = event.attempt < newest;
            newest = newest.max(event.attempt);
            // Jobs that follow a source job are begun by whoever finished it, and have no attempt yet.
            let client = event.actor.strip_prefix("client ").filter(|_| event.attempt > 0);
            let Some(client) = client else { continue };
            let holder =
                e.world.attempts.iter().find(|a| (a.job, a.number) == (event.job, event.attempt));
            let own = holder.is_some_and(|a| a.client == client);
            // Whoever finishes the source of a newer version cancels the older one's build.
            let superseding = event.cause.starts_with("superseded by");
            out.look(!stale && (own || superseding), || {
                format!(
                    "job {} event {}: {client} wrote as attempt {} of {newest}",
                    event.job, event.number, event.attempt
                )
            });
        }
    }
    out
}

/// I6: attempts grow.
pub(super) fn attempts_grow(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("attempts are 1..n without a gap, every one but the last has ended");
    for job in &e.world.jobs {
        let own: Vec<_> = e.world.attempts.iter().filter(|a| a.job == job.id).collect();
        let numbered = own.iter().zip(1..).all(|(a, n)| a.number == n);
        out.look(numbered && own.len() == usize::try_from(job.attempt).unwrap_or(0), || {
            format!("job {}: attempt {} and {} rows", job.id, job.attempt, own.len())
        });
        let open = own.iter().filter(|a| a.outcome.is_none()).count();
        let held = matches!(job.status.as_str(), "Building" | "Cancelling");
        out.look(open <= usize::from(held), || format!("job {}: {open} attempts are open", job.id));
    }
    out
}

/// I7: everything has come to an end.
pub(super) fn at_rest(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "after the last heal every job comes to its end, and to the one that its story has",
    );
    out.look(e.rest.is_some(), || "the farm did not come to rest".to_owned());
    for job in &e.world.jobs {
        let ended = status(&job.status).is_some_and(JobStatus::is_terminal);
        out.look(ended, || {
            format!("job {} ({} {}) is {}", job.id, job.package, job.kind, job.status)
        });
        let end = job.status.as_str();
        let why = || {
            let class = job.failure_class.as_deref().unwrap_or_default();
            let message = job.failure_message.as_deref().unwrap_or_default();
            format!("job {} ({} {}) is {end}: {class} {message}", job.id, job.package, job.kind)
        };
        let letter = job.package.as_bytes().get(6).copied().unwrap_or(b'?');
        let policy = end == "Failed" && job.failure_class.as_deref() == Some("policy");
        let fine = match (letter, job.kind.as_str()) {
            (b'f', "binary") => end == "Failed" && job.failure_class.as_deref() == Some("build"),
            (b'c', _) => matches!(end, "Cancelled" | "Done"),
            // The older version gives way, or is refused, or was faster; the newer one comes through.
            (b's', _) if job.version.as_deref() != Some("2.0") => {
                matches!(end, "Cancelled" | "Done") || policy
            }
            _ => end == "Done",
        };
        out.look(fine || !ended, why);
        if job.kind == "binary" && letter == b'w' {
            out.look(waited(e, job), || format!("job {} ({}) never waited", job.id, job.package));
        }
    }
    for promise in e.promises.iter().filter(|p| p.submission.is_some()) {
        let built = |j: &Job| j.kind == "binary" && Some(j.submission) == promise.submission;
        let story = promise.package.as_bytes().get(6);
        // Everything else is ended before its source is there, where a person or a newer version is quick.
        let comes = story.is_some_and(|letter| b"pfw".contains(letter));
        out.look(!comes || e.world.jobs.iter().any(built), || {
            format!("{} {} came to no binary job", promise.package, promise.version)
        });
    }
    out
}

/// Whether a job was blocked for what its first attempt missed; an attempt that was lost has missed nothing.
fn waited(e: &Evidence, job: &Job) -> bool {
    let first = e.world.attempts.iter().find(|a| (a.job, a.number) == (job.id, 1));
    let told = first.is_some_and(|a| a.failure_class.as_deref() == Some("dep-wait"));
    let events = e.world.events.get(&job.id).map_or(&[][..], Vec::as_slice);
    let blocked = events.iter().any(|event| event.to_status == "Blocked");
    blocked || (!told && first.is_some_and(|a| a.outcome.as_deref() != Some("succeeded")))
}
