//! Bounds on what a command's whole process tree may use.
//!
//! | what | by |
//! |---|---|
//! | memory, processes, cores | a control group for each command (`cgroups(7)`): version 2 where it is delegated, else version 1 |
//! | the same without control groups | `prlimit(1)`: memory for each process, processes for the user |
//! | disk and files | looking: the directory is measured while the command runs |

pub(crate) mod disk;
mod group;
mod host;

use std::path::PathBuf;

use pybit_core::resources::{Excess, Resource, Resources};
use serde::{Deserialize, Serialize};

pub(super) use group::Group;
pub use host::{Hold, Holds};

/// A control group for the supervisor to start its command in: `into` and `back` are files `cgroup.procs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detour {
    /// The file of the group that the command belongs to.
    pub(super) into: PathBuf,
    /// The file of the group that the supervisor comes from and goes back to.
    pub(super) back: PathBuf,
}

/// A command with the bounds that hold for each of its processes, where there are no control groups.
pub(super) fn by_prlimit(argv: &[String], resources: &Resources) -> Vec<String> {
    let mut all = vec!["prlimit".to_owned()];
    if let Some(n) = resources.processes {
        all.push(format!("--nproc={n}:{n}"));
    }
    if let Some(n) = resources.memory_bytes {
        all.push(format!("--data={n}:{n}"));
    }
    if let Some(n) = resources.disk_bytes {
        all.push(format!("--fsize={n}:{n}"));
    }
    if all.len() == 1 {
        return argv.to_vec();
    }
    all.push("--".to_owned());
    all.extend_from_slice(argv);
    all
}

/// The bound of a resource.
fn bound(resources: &Resources, resource: Resource) -> Option<u64> {
    match resource {
        Resource::Memory => resources.memory_bytes,
        Resource::Processes => resources.processes,
        Resource::Disk => resources.disk_bytes,
        Resource::Files => resources.files,
    }
}

/// The excess, where `used` is over the bound.
fn over(resources: &Resources, resource: Resource, used: u64) -> Option<Excess> {
    let limit = bound(resources, resource)?;
    (used > limit).then_some(Excess { resource, used, limit })
}
