//! What the templates show: plain text fields, ready to be escaped.

use pybit_core::clock::Timestamp;
use pybit_core::model::{Attempt, BuildClient, Event, Job, JobStatus, PackageSummary};
use pybit_core::protocol::FileState;

use super::text;

/// A moment, exact and for people.
#[derive(Debug, Clone)]
pub(super) struct When {
    pub(super) iso: String,
    pub(super) ago: String,
}

impl When {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { iso: at.to_string(), ago: format!("{} ago", text::duration(now.since(at))) }
    }
}

/// A job in a table, and the head of its own page.
#[derive(Debug, Clone)]
pub(super) struct JobRow {
    pub(super) id: i64,
    pub(super) package: String,
    pub(super) version: String,
    pub(super) dist: String,
    pub(super) suite: String,
    pub(super) arch: String,
    pub(super) format: String,
    pub(super) env: String,
    pub(super) status: JobStatus,
    pub(super) note: String,
    pub(super) client: String,
    pub(super) changed: When,
}

impl JobRow {
    pub(super) fn new(job: &Job, now: Timestamp) -> Self {
        let note = match (&job.failure, job.status) {
            (Some(failure), _) => format!("{}: {}", failure.class, failure.message),
            (None, JobStatus::Blocked) => format!("missing {}", job.unmet.join(", ")),
            _ => String::new(),
        };
        let target = &job.target;
        Self {
            id: job.id.0,
            package: job.package.to_string(),
            version: job.version.as_ref().map(ToString::to_string).unwrap_or_default(),
            dist: target.dist.to_string(),
            suite: target.suite.to_string(),
            arch: target.arch.to_string(),
            format: target.format.to_string(),
            env: target.env.to_string(),
            status: job.status,
            note,
            client: job.client.as_ref().map(ToString::to_string).unwrap_or_default(),
            changed: When::new(job.changed_at, now),
        }
    }
}

/// An attempt on its job's page.
#[derive(Debug, Clone)]
pub(super) struct AttemptRow {
    pub(super) number: u32,
    pub(super) client: String,
    pub(super) started: When,
    pub(super) took: String,
    pub(super) outcome: &'static str,
    pub(super) note: String,
}

impl AttemptRow {
    pub(super) fn new(attempt: &Attempt, now: Timestamp) -> Self {
        Self {
            number: attempt.number,
            client: attempt.client.to_string(),
            started: When::new(attempt.started_at, now),
            took: text::duration(attempt.ended_at.unwrap_or(now).since(attempt.started_at)),
            outcome: attempt.outcome.map_or("under way", pybit_core::model::Outcome::as_str),
            note: attempt.failure.as_ref().map(|f| f.message.clone()).unwrap_or_default(),
        }
    }
}

/// A status change on its job's page.
#[derive(Debug, Clone)]
pub(super) struct EventRow {
    pub(super) at: When,
    pub(super) to: JobStatus,
    pub(super) cause: String,
    pub(super) actor: String,
}

impl EventRow {
    pub(super) fn new(event: &Event, now: Timestamp) -> Self {
        Self {
            at: When::new(event.at, now),
            to: event.to,
            cause: event.cause.clone(),
            actor: event.actor.clone(),
        }
    }
}

/// A file on its job's page.
#[derive(Debug, Clone)]
pub(super) struct FileRow {
    pub(super) name: String,
    pub(super) size: String,
    pub(super) sha256: String,
    pub(super) complete: bool,
}

impl FileRow {
    pub(super) fn new(file: &FileState) -> Self {
        Self {
            name: file.spec.name.to_string(),
            size: text::size(file.spec.size),
            sha256: file.spec.sha256.clone(),
            complete: file.complete,
        }
    }
}

/// A package in the list.
#[derive(Debug, Clone)]
pub(super) struct PackageRow {
    pub(super) package: String,
    pub(super) dist: String,
    pub(super) suite: String,
    pub(super) format: String,
    pub(super) done: String,
    pub(super) version: String,
    pub(super) job: i64,
    pub(super) status: JobStatus,
}

impl PackageRow {
    pub(super) fn new(package: &PackageSummary) -> Self {
        Self {
            package: package.package.to_string(),
            dist: package.dist.to_string(),
            suite: package.suite.to_string(),
            format: package.format.to_string(),
            done: package.done.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string),
            version: package.newest_version.to_string(),
            job: package.newest_job.0,
            status: package.newest_status,
        }
    }
}

/// A build client in the list.
#[derive(Debug, Clone)]
pub(super) struct ClientRow {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
    pub(super) holds: u32,
    pub(super) slots: u32,
    pub(super) offers: String,
    pub(super) seen: When,
    pub(super) version: String,
}

impl ClientRow {
    /// `ttl`: a client that was silent for longer counts as away.
    pub(super) fn new(client: &BuildClient, now: Timestamp, ttl: std::time::Duration) -> Self {
        let (kind, state) = if now.since(client.seen_at) > ttl {
            ("silent", "silent")
        } else if client.draining {
            ("draining", "draining")
        } else if client.quarantined_until > now {
            ("quarantine", "in quarantine")
        } else if client.holds > 0 {
            ("building", "building")
        } else {
            ("free", "free")
        };
        let offers = client.offers.iter().filter(|o| !o.arch.is_source());
        let offers: Vec<_> =
            offers.map(|o| format!("{} {} ({})", o.suite, o.arch, o.env)).collect();
        Self {
            name: client.name.to_string(),
            kind,
            state,
            holds: client.holds,
            slots: client.slots,
            offers: offers.join(", "),
            seen: When::new(client.seen_at, now),
            version: client.version.clone(),
        }
    }
}
