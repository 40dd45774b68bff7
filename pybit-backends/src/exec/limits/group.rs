//! The control group of one command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pybit_core::resources::{Excess, Resource, Resources};
use pybit_core::{Error, ErrorKind, Result};

use super::Detour;
use super::host::{Hold, PREFIX};

/// A controller of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// Numbers of processes.
    Pids,
    /// Processor time.
    Cpu,
}

impl Controller {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// A period of the scheduler, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;
/// The weight of builds, where other groups have 100 (version 2) or 1024 (version 1): the farm's own processes go first.
const WEIGHT: u64 = 25;
const SHARES: u64 = 256;
/// Times that a group is removed while the kernel still lets go of its dead.
const REMOVALS: u32 = 50;

/// The directories of one command's group; dropped, it is removed with whatever still runs in it.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its own directory, and that of the group that this process is in.
    unified: Option<(PathBuf, PathBuf)>,
    legacy: Vec<(Controller, PathBuf)>,
    resources: Resources,
}

static COUNT: AtomicU64 = AtomicU64::new(0);

impl Group {
    /// Makes one with these bounds; none where there are no control groups.
    pub(crate) fn make(hold: &Hold, resources: &Resources) -> Result<Option<Self>> {
        let name = format!("{PREFIX}{}-{}", Pid::this(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut group = Self { unified: None, legacy: Vec::new(), resources: *resources };
        let made = match hold {
            Hold::Processes => return Ok(None),
            Hold::Unified { dir, home } => group.make_unified(&dir.join(&name), home),
            Hold::Legacy(dirs) => {
                dirs.iter().try_for_each(|(c, dir)| group.make_legacy(*c, &dir.join(&name)))
            }
        };
        made.map(|()| Some(group)).map_err(|e| {
            let message = format!("the control group {name} of a build cannot be made: {e}");
            Error::new(ErrorKind::Unavailable, message).with_code("no_control_group").with_source(e)
        })
    }

    fn make_unified(&mut self, dir: &Path, home: &Path) -> io::Result<()> {
        fs::create_dir(dir)?;
        self.unified = Some((dir.to_owned(), home.to_owned()));
        if let Some(n) = self.resources.memory_bytes {
            fs::write(dir.join("memory.max"), n.to_string())?;
            optional(fs::write(dir.join("memory.swap.max"), "0"))?;
        }
        if let Some(n) = self.resources.processes {
            fs::write(dir.join("pids.max"), n.to_string())?;
        }
        if let Some(n) = self.resources.cores {
            fs::write(dir.join("cpu.max"), format!("{} {PERIOD}", u64::from(n) * PERIOD))?;
        }
        fs::write(dir.join("cpu.weight"), WEIGHT.to_string())
    }

    fn make_legacy(&mut self, controller: Controller, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)?;
        self.legacy.push((controller, dir.to_owned()));
        match controller {
            Controller::Memory => {
                if let Some(n) = self.resources.memory_bytes {
                    fs::write(dir.join("memory.limit_in_bytes"), n.to_string())?;
                    // Only there where swap is counted.
                    optional(fs::write(dir.join("memory.memsw.limit_in_bytes"), n.to_string()))?;
                }
            }
            Controller::Pids => {
                if let Some(n) = self.resources.processes {
                    fs::write(dir.join("pids.max"), n.to_string())?;
                }
            }
            Controller::Cpu => {
                if let Some(n) = self.resources.cores {
                    let quota = u64::from(n) * PERIOD;
                    fs::write(dir.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                    fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string())?;
                }
                fs::write(dir.join("cpu.shares"), SHARES.to_string())?;
            }
        }
        Ok(())
    }

    fn dirs(&self) -> impl Iterator<Item = &Path> {
        let unified = self.unified.as_ref().map(|(dir, _)| dir.as_path());
        self.legacy.iter().map(|(_, dir)| dir.as_path()).chain(unified)
    }

    /// The ways in, and back to where this process is.
    pub(in crate::exec) fn detours(&self) -> Vec<Detour> {
        let home = self.unified.as_ref().map(|(_, home)| home.as_path());
        let detour = |dir: &Path| Detour {
            into: dir.join("cgroup.procs"),
            back: home.or(dir.parent()).unwrap_or(dir).join("cgroup.procs"),
        };
        self.dirs().map(detour).collect()
    }

    /// The bound that the command has met, as the kernel counts it.
    pub(crate) fn excess(&self) -> Option<Excess> {
        let memory = self.resources.memory_bytes.filter(|_| {
            self.counts(Controller::Memory, "memory.events", "oom_kill")
                || self.counts(Controller::Memory, "memory.oom_control", "oom_kill")
        });
        if let Some(limit) = memory {
            // The kernel kills where the next page would be over the bound.
            return Some(Excess { resource: Resource::Memory, used: limit, limit });
        }
        let met = self.counts(Controller::Pids, "pids.events", "max");
        let limit = self.resources.processes.filter(|_| met)?;
        Some(Excess { resource: Resource::Processes, used: limit, limit })
    }

    /// True where a file of lines "NAME NUMBER" has a number other than 0 of this name.
    fn counts(&self, controller: Controller, file: &str, name: &str) -> bool {
        let dir = self.legacy.iter().find(|(c, _)| *c == controller).map(|(_, dir)| dir);
        let Some(dir) = dir.or(self.unified.as_ref().map(|(dir, _)| dir)) else { return false };
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .any(|(key, count)| key == name && count.trim() != "0")
    }

    fn remove(dir: &Path) -> io::Result<()> {
        for _ in 0..REMOVALS {
            match fs::remove_dir(dir) {
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
                    // The supervisor has left nothing alive; a supervisor that was killed may have.
                    for pid in fs::read_to_string(dir.join("cgroup.procs"))?.lines() {
                        if let Ok(pid) = pid.parse() {
                            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                        }
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => return other,
            }
        }
        fs::remove_dir(dir)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in self.dirs() {
            if let Err(e) = Self::remove(dir) {
                tracing::warn!("the control group {} is left: {e}", dir.display());
            }
        }
    }
}

/// A setting that not every kernel has.
fn optional(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(())
        }
        other => other,
    }
}
