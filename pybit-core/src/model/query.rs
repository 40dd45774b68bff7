//! Questions about jobs and packages.

use serde::{Deserialize, Serialize};

use super::id::{JobId, SubmissionId};
use super::name::{Arch, ClientName, Dist, FormatName, PackageName, Suite, Version};
use super::status::JobStatus;

/// Which jobs; every field that is set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobFilter {
    /// Of this submission.
    pub submission: Option<SubmissionId>,
    /// In this status.
    pub status: Option<JobStatus>,
    /// Of this source package.
    pub package: Option<PackageName>,
    /// Of this distribution.
    pub dist: Option<Dist>,
    /// Of this suite.
    pub suite: Option<Suite>,
    /// Of this architecture.
    pub arch: Option<Arch>,
    /// Held, or last held, by this client.
    pub client: Option<ClientName>,
}

/// Which part of a long answer. Jobs come newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only jobs with a smaller number than this; from the newest where absent.
    pub before: Option<JobId>,
    /// At most this many, 1 to 200.
    pub limit: u32,
}

impl Page {
    /// The first page, of `limit` rows, brought into 1 to 200.
    pub fn first(limit: u32) -> Self {
        Self { before: None, limit: limit.clamp(1, 200) }
    }
}

/// How many jobs are in each status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusCounts(pub std::collections::BTreeMap<JobStatus, u64>);

impl StatusCounts {
    /// Jobs in `status`.
    pub fn of(&self, status: JobStatus) -> u64 {
        self.0.get(&status).copied().unwrap_or(0)
    }
}

/// A source package in a suite and its newest version there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PackageSummary {
    /// The source package.
    pub package: PackageName,
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// The newest version that is `Done`, if any.
    pub done: Option<Version>,
    /// The newest job.
    pub newest_job: JobId,
    /// The newest job's version.
    pub newest_version: Version,
    /// The newest job's status.
    pub newest_status: JobStatus,
}
