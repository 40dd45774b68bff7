//! Resources of the machine for all processes of one attempt together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bounds of one attempt. `None` leaves a resource to the machine's own bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Bytes of memory, files in memory among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Bytes on the disk below the attempt's directory, its root included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Files and directories below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Cores that are used at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
}

/// A resource whose bound ends a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// [`Resources::memory_bytes`]
    Memory,
    /// [`Resources::processes`]
    Processes,
    /// [`Resources::disk_bytes`]
    Disk,
    /// [`Resources::files`]
    Files,
}

/// A bound that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The resource.
    pub resource: Resource,
    /// The amount that was used.
    pub used: u64,
    /// The amount that was allowed.
    pub limit: u64,
}

impl fmt::Display for Excess {
    /// As in "2.0 GiB of 2.0 GiB of memory".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, limit) = (self.used, self.limit);
        match self.resource {
            Resource::Memory => write!(f, "{} of {} of memory", bytes(used), bytes(limit)),
            Resource::Disk => write!(f, "{} of {} of disk", bytes(used), bytes(limit)),
            Resource::Processes => write!(f, "{used} of {limit} processes"),
            Resource::Files => write!(f, "{used} of {limit} files"),
        }
    }
}

impl Excess {
    /// The sentence for the submitter of a build.
    pub fn sentence(&self) -> String {
        format!(
            "The build was killed at {self}. A package rule of the catalogue can raise the limit."
        )
    }
}

/// Bytes for people, in binary units.
fn bytes(n: u64) -> bytesize::Display {
    bytesize::ByteSize(n).display().iec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excess_names_what_was_used_and_what_was_allowed() {
        let excess = |resource, used, limit| Excess { resource, used, limit }.to_string();
        assert_eq!(excess(Resource::Memory, 2 << 30, 2 << 30), "2.0 GiB of 2.0 GiB of memory");
        assert_eq!(excess(Resource::Disk, 1_600_000, 1 << 20), "1.5 MiB of 1.0 MiB of disk");
        assert_eq!(excess(Resource::Processes, 512, 512), "512 of 512 processes");
    }
}
