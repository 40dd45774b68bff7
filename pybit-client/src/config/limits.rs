//! Resources of this machine for one build: the `[client.limits]` table.

use std::path::Path;

use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;
use pybit_core::Result;
use pybit_core::resources::Resources;
use serde::Deserialize;

use super::refuse;

/// Bounds of each build. What is left out is reckoned from the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Memory: `"4 GiB"`. Left out: nine tenths of the machine's, shared by the slots.
    pub memory: Option<ByteSize>,
    /// Processes and threads at once. Left out: 4096.
    pub processes: Option<u64>,
    /// Disk, the unpacked root included: `"20 GiB"`. Left out: nine tenths of what is free at the start, shared by the slots, at most
    /// 100 GiB.
    pub disk: Option<ByteSize>,
    /// Files, those of the root included. Left out: two million.
    pub files: Option<u64>,
    /// Cores used at once. Left out: all, after the farm's own processes.
    pub cores: Option<u32>,
    /// Refuses to build where the processes of a build cannot be held together, for want of control groups.
    pub require: bool,
}

/// Processes of a build where nothing is said: a parallel build of a large package has some hundreds.
const PROCESSES: u64 = 4096;
/// Files of a build; a root has 13,000, the kernel's source 80,000.
const FILES: u64 = 2_000_000;
/// The most disk that a build gets unasked.
const DISK: u64 = 100 << 30;
/// Memory and disk that every build gets, on the smallest machine too: less holds no root.
const LEAST: u64 = 1 << 30;

impl LimitsConfig {
    /// The bounds of each of `slots` builds below `dir`.
    pub fn resources(&self, slots: u32, dir: &Path) -> Resources {
        let share = |all: u64| (all / 10 * 9 / u64::from(slots.max(1))).max(LEAST);
        let memory = self.memory.map(|b| b.0).or_else(|| machine_memory().map(share));
        let disk = self.disk.map(|b| b.0).or_else(|| free(dir).map(|n| share(n).min(DISK)));
        Resources {
            memory_bytes: memory,
            processes: Some(self.processes.unwrap_or(PROCESSES)),
            disk_bytes: disk,
            files: Some(self.files.unwrap_or(FILES)),
            cores: self.cores,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let small = |size: Option<ByteSize>| size.is_some_and(|b| b.0 < 64 << 20);
        if small(self.memory) || small(self.disk) {
            return Err(refuse(
                "client.limits.memory and client.limits.disk must be 64 MiB or more: no build fits into less",
            ));
        }
        if self.processes.is_some_and(|n| n < 32) || self.files.is_some_and(|n| n < 1000) {
            return Err(refuse(
                "client.limits.processes must be 32 or more, client.limits.files 1000 or more: no build fits into less",
            ));
        }
        if self.cores == Some(0) {
            return Err(refuse("client.limits.cores must be 1 or more"));
        }
        Ok(())
    }
}

/// Bytes of memory of this machine (`proc_meminfo(5)`).
fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn free(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find(|d| d.exists())?;
    statvfs(there).ok().map(|s| s.blocks_available() * s.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> LimitsConfig {
        use figment::providers::{Format, Toml};
        figment::Figment::from(Toml::string(text)).extract().unwrap()
    }

    #[test]
    fn builds_are_bounded_though_nothing_is_configured() {
        let one = LimitsConfig::default().resources(1, Path::new("/no/such/place"));
        let four = LimitsConfig::default().resources(4, Path::new("/no/such/place"));
        assert!(four.memory_bytes < one.memory_bytes && one.memory_bytes < machine_memory());
        assert!(one.disk_bytes.is_some_and(|n| n <= DISK));
        assert_eq!((one.processes, one.files, one.cores), (Some(4096), Some(2_000_000), None));
    }

    #[test]
    fn sizes_are_written_with_their_units_and_those_that_hold_no_build_are_refused() {
        let given = limits("memory = '2 GiB'\ndisk = '500 MB'\nprocesses = 100");
        given.check().unwrap();
        let resources = given.resources(8, Path::new("/"));
        assert_eq!(
            (resources.memory_bytes, resources.disk_bytes),
            (Some(2 << 30), Some(500_000_000))
        );
        for small in ["memory = '1 MB'", "disk = 5", "processes = 3", "files = 1", "cores = 0"] {
            assert!(limits(small).check().is_err(), "{small}");
        }
    }
}
