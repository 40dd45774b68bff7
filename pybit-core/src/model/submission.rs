//! One request to build.

use serde::{Deserialize, Serialize};

use super::id::SubmissionId;
use super::name::{Arch, Dist, EnvName, FormatName, Suite};
use super::source::Source;
use crate::clock::Timestamp;

/// What a submitter asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSubmission {
    /// Where the source comes from.
    pub source: Source,
    /// The suite to build for.
    pub suite: Suite,
    /// The distribution; may be left out where only one has that suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dist: Option<Dist>,
    /// The package format; may be left out where the suite has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatName>,
    /// Architectures to build for; all that the package and the suite share where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<Arch>,
    /// The environment to build in; the suite's heaviest where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// Higher is built first, -1000 to 1000; 0 where left out.
    #[serde(default)]
    pub priority: i32,
    /// Build even what the suite already has in the same or a newer version.
    #[serde(default)]
    pub force: bool,
}

/// A recorded submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Submission {
    /// Its number.
    pub id: SubmissionId,
    /// What was asked for.
    pub request: NewSubmission,
    /// Who asked.
    pub principal: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_at: Timestamp,
}
