//! Where a job builds, and which queue offers it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{Arch, Dist, EnvName, FormatName, Suite};

/// The exact place a job builds for and in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The architecture; [`Arch::source`] for a source job.
    pub arch: Arch,
    /// The package format.
    pub format: FormatName,
    /// The build environment.
    pub env: EnvName,
}

impl Target {
    /// The queue that offers jobs of this target.
    pub fn route(&self) -> Route {
        Route {
            dist: self.dist.clone(),
            arch: self.arch.clone(),
            suite: self.suite.clone(),
            format: self.format.clone(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {} {} in {}", self.dist, self.suite, self.arch, self.format, self.env)
    }
}

/// The queue that build clients listen to; written `dist.arch.suite.format`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Route {
    /// The distribution.
    pub dist: Dist,
    /// The architecture.
    pub arch: Arch,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.dist, self.arch, self.suite, self.format)
    }
}

/// A target that the farm serves, with its weight: the heaviest is the default environment and the master.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WeightedTarget {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// Higher is preferred; equal weights are ordered by architecture name.
    pub weight: i32,
}
