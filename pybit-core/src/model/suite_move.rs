//! Moves of names that an operator allows in a suite.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{Dist, FormatName, PackageName, Suite};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::owners::NameMove;

/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// An allowed move of a binary package's name, in one suite and format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SuiteMove {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// The binary package: one name, no pattern.
    pub binary: PackageName,
    /// The source that owns the name.
    pub from: PackageName,
    /// The source that may publish it.
    pub to: PackageName,
    /// The operator's reason.
    pub why: String,
    /// The principal that allowed it. Set by the server: a client's value is not used.
    #[serde(default)]
    pub by: String,
    /// The time at which it was allowed. Set by the server: a client's value is not used.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub at: Option<Timestamp>,
}

impl SuiteMove {
    /// Whether both allow the same for the same reason, whoever allowed it and when.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_for(&other.dist, &other.suite, &other.format)
            && (&self.binary, &self.from, &self.to) == (&other.binary, &other.from, &other.to)
            && self.why == other.why
    }

    /// Whether it is a move in this suite and format.
    pub fn is_for(&self, dist: &Dist, suite: &Suite, format: &FormatName) -> bool {
        (&self.dist, &self.suite, &self.format) == (dist, suite, format)
    }

    /// Refuses, `Invalid`, code `invalid_move`, a reason that is empty or longer than 500 characters.
    pub fn check(&self) -> Result<()> {
        if !self.why.trim().is_empty() && self.why.chars().count() <= MAX_REASON {
            return Ok(());
        }
        let message =
            format!("{self}: the move needs a reason (why) of 1 to {MAX_REASON} characters");
        Err(Error::invalid(message).with_code("invalid_move"))
    }
}

impl From<&SuiteMove> for NameMove {
    fn from(moved: &SuiteMove) -> Self {
        Self {
            binary: moved.binary.clone(),
            from: moved.from.clone(),
            to: moved.to.clone(),
            by: moved.by.clone(),
            why: moved.why.clone(),
        }
    }
}

impl fmt::Display for SuiteMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dist, suite, format, binary, from, to, .. } = self;
        write!(f, "{binary} from {from} to {to} in {dist}/{suite} {format}")
    }
}
