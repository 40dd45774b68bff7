//! A job, its attempts and its history.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::id::{JobId, SubmissionId};
use super::name::{ClientName, PackageName, Version};
use super::status::JobStatus;
use super::target::Target;
use crate::clock::Timestamp;

/// What a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Turns git, apt or an uploaded tree into one source package.
    Source,
    /// Builds one package instance from a source package.
    Binary,
}

impl JobKind {
    /// The kind as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Binary => "binary",
        }
    }
}

/// Builds one package instance, or the source package that the others build from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The submission it belongs to.
    pub submission: SubmissionId,
    /// What it makes.
    pub kind: JobKind,
    /// The source package's name; for a source job of git or a tree a label until the source is read.
    pub package: PackageName,
    /// The source package's version; absent until a source job has read it.
    pub version: Option<Version>,
    /// Where it builds.
    pub target: Target,
    /// Whether it also builds the architecture-independent packages.
    pub master: bool,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Counts its status changes from 1; every change compares it and sets it one higher.
    pub row_version: i64,
    /// The number of the newest attempt, 0 before the first: the fencing token of every side effect.
    pub attempt: u32,
    /// The client that holds it, or that held it last.
    pub client: Option<ClientName>,
    /// Moves with every heartbeat; a lease lapses when it stands still for the time to live.
    pub lease_epoch: i64,
    /// Failures so far after which it was tried again: of the infrastructure, of a fetch that time can help, and unclear ones.
    pub infra_retries: u32,
    /// Build-dependency waits so far.
    pub dep_waits: u32,
    /// Clients that lost it without a report, each once: three make it poison.
    pub lost_by: Vec<ClientName>,
    /// The client that another is preferred to, and until when.
    pub avoid: Option<Avoid>,
    /// Not claimed before this, see [`Job::is_paused`].
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub not_before: Timestamp,
    /// Higher is claimed first.
    pub priority: i32,
    /// The weight of its target, the second key of the order.
    pub weight: i32,
    /// The relations that are missing while it is `Blocked`, in the format's own notation.
    pub unmet: Vec<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The binary packages that its accepted result holds.
    pub produced: Vec<Produced>,
    /// The source job whose source package it builds from; for an uploaded source package absent.
    pub source_job: Option<JobId>,
    /// The job that this one tries again.
    pub retries_of: Option<JobId>,
    /// The job whose newer version cancelled this one.
    pub superseded_by: Option<JobId>,
    /// When it was submitted.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_at: Timestamp,
    /// When its status last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub changed_at: Timestamp,
}

impl Job {
    /// Whether `not_before` has yet to come.
    ///
    /// A pause that began more than [`CLOCK_STEP`] after `now` was begun by a clock that has been set back since. Nobody
    /// knows how long it was to last, so it is over: else a clock that was two days ahead for a moment would cost two days.
    pub fn is_paused(&self, now: Timestamp) -> bool {
        self.not_before > now && self.changed_at <= now.plus(CLOCK_STEP)
    }
}

/// As far as the wall clocks of a farm's servers may be apart: a minute.
pub const CLOCK_STEP: Duration = Duration::from_mins(1);

/// A client that is not offered a job again until a while has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Avoid {
    /// The client.
    pub client: ClientName,
    /// Offered again from here on.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub until: Timestamp,
}

/// A binary package that a job made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Produced {
    /// The binary package's name, or a name that it provides.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Its architecture as the format writes it: `amd64`, `all`.
    pub arch: String,
}

/// One client's try at a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The job.
    pub job: JobId,
    /// Counted from 1 in its job: the fencing token.
    pub number: u32,
    /// Who tried.
    pub client: ClientName,
    /// The client process that tried: a client that restarts has another.
    pub boot: String,
    /// How it ended; absent while it runs.
    pub outcome: Option<Outcome>,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// Bytes of its log that are durable on the server.
    pub log_length: u64,
    /// SHA-256 of the whole log, set with the outcome, where the client reported one.
    pub log_sha256: Option<String>,
    /// When it was claimed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub started_at: Timestamp,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ended_at: Option<Timestamp>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its result was accepted: at most one attempt of a job.
    Succeeded,
    /// The client reported a failure.
    Failed,
    /// The client gave it back unbuilt.
    Refused,
    /// The client was not heard of for the time to live.
    Lost,
    /// It was stopped on request.
    Cancelled,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Succeeded, Self::Failed, Self::Refused, Self::Lost, Self::Cancelled];

    /// The outcome as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One status change of a job, kept for ever: numbered 1, 2, 3 … without a gap in each job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// The job.
    pub job: JobId,
    /// The job's `row_version` after the change.
    pub number: i64,
    /// The job's attempt number at the change.
    pub attempt: u32,
    /// The status before; absent for the first.
    pub from: Option<JobStatus>,
    /// The status after.
    pub to: JobStatus,
    /// Who did it: a token's name, `client NAME`, `farm`.
    pub actor: String,
    /// Why, in words.
    pub cause: String,
    /// When, by the server's wall clock.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub at: Timestamp,
}
