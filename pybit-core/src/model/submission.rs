//! One request to build.

use std::fmt;

use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::id::SubmissionId;
use super::name::{Arch, Dist, EnvName, FormatName, Suite};
use super::name_grant::NameGrant;
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
    #[serde(default, deserialize_with = "priority")]
    pub priority: i32,
    /// Build even what the suite already has in the same or a newer version.
    #[serde(default)]
    pub force: bool,
}

impl NewSubmission {
    /// Asks to build `source` for `suite`, and leaves everything else to the farm.
    pub fn new(source: Source, suite: Suite) -> Self {
        Self {
            source,
            suite,
            dist: None,
            format: None,
            arches: Vec::new(),
            env: None,
            priority: 0,
            force: false,
        }
    }
}

/// Reads a whole number of any size; one that no priority can be is out of range, not unreadable.
fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    struct Whole;
    impl Visitor<'_> for Whole {
        type Value = i32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<i32, E> {
            value.try_into().map_err(|_| E::custom(PRIORITY_OUT_OF_RANGE))
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<i32, E> {
            value.try_into().map_err(|_| E::custom(PRIORITY_OUT_OF_RANGE))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<i32, E> {
            let is_whole = value.fract() == 0.0;
            let other = || E::invalid_type(Unexpected::Float(value), &self);
            Err(if is_whole { E::custom(PRIORITY_OUT_OF_RANGE) } else { other() })
        }
    }
    deserializer.deserialize_any(Whole)
}

/// What a priority is refused with.
pub(crate) const PRIORITY_OUT_OF_RANGE: &str = "the priority must be between -1000 and 1000";

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
    /// The names of the base distribution that the principal could submit under at that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameGrant>,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_at: Timestamp,
}
