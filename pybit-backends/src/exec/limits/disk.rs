//! The disk space and the files of a build.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use nix::sys::statvfs::statvfs;
use pybit_core::resources::{Excess, Resource, Resources};

use super::over;

/// The time between two looks at the free space.
const LOOK: Duration = Duration::from_secs(1);
/// The directory is measured when this much less is free than at the last measurement.
const STEP: u64 = 64 << 20;
/// As is each time after this many looks: files that are small enough take no space that is seen.
const LOOKS: u32 = 15;

/// Returns when the directory holds more than `resources` allow; never where they allow anything.
pub(crate) async fn exceeded(dir: PathBuf, resources: Resources) -> Excess {
    if resources.disk_bytes.is_none() && resources.files.is_none() {
        return std::future::pending().await;
    }
    let (mut least, mut looks) = (free(&dir), 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = free(&dir);
        looks += 1;
        let step = STEP.min(resources.disk_bytes.unwrap_or(STEP) / 8);
        if now.saturating_add(step) > least && looks < LOOKS {
            continue;
        }
        (least, looks) = (now, 0);
        let place = dir.clone();
        let used = tokio::task::spawn_blocking(move || measure(&place, &resources)).await;
        if let Ok(Some(excess)) = used {
            return excess;
        }
    }
}

/// Bytes that are free where the directory is.
fn free(dir: &Path) -> u64 {
    statvfs(dir).map_or(0, |s| s.blocks_available() * s.fragment_size())
}

/// Adds up until a bound is passed. Neither links nor other file systems are followed, and what vanishes meanwhile is not
/// counted. Directories are opened from the one above: a path may be longer than the kernel takes.
pub(crate) fn measure(dir: &Path, resources: &Resources) -> Option<Excess> {
    let mut top = Dir::open(dir, FLAGS, Mode::empty()).ok()?;
    let device = fstat(&top).ok()?.st_dev;
    Sum { resources: *resources, device, bytes: 0, files: 0 }.add(&mut top, 0)
}

const FLAGS: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Directories in each other, an open file each. A build that goes deeper could hide files there, so it is over its bound.
const DEPTH: u32 = 500;

struct Sum {
    resources: Resources,
    device: u64,
    bytes: u64,
    files: u64,
}

impl Sum {
    fn add(&mut self, dir: &mut Dir, depth: u32) -> Option<Excess> {
        let names: Vec<_> = dir.iter().flatten().map(|e| e.file_name().to_owned()).collect();
        let mut below = Vec::new();
        for name in names.into_iter().filter(|n| !matches!(n.to_bytes(), b"." | b"..")) {
            let stat = fstatat(&*dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let Some(stat) = stat.ok().filter(|s| s.st_dev == self.device) else { continue };
            // A file of several names is counted by each with its part.
            self.bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512 / stat.st_nlink.max(1);
            self.files += 1;
            if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
                below.push(name);
            }
        }
        let excess = over(&self.resources, Resource::Disk, self.bytes);
        if let Some(excess) = excess.or_else(|| over(&self.resources, Resource::Files, self.files))
        {
            return Some(excess);
        }
        if depth == DEPTH {
            let limit = self.resources.files.unwrap_or(0);
            return (!below.is_empty()).then_some(Excess {
                resource: Resource::Files,
                used: self.files,
                limit,
            });
        }
        below.into_iter().find_map(|name| {
            let mut inner = Dir::openat(&*dir, name.as_c_str(), FLAGS, Mode::empty()).ok()?;
            self.add(&mut inner, depth + 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(dir: &Path, disk_bytes: Option<u64>, files: Option<u64>) -> Option<Resource> {
        let resources = Resources { disk_bytes, files, ..Resources::default() };
        measure(dir, &resources).map(|excess| excess.resource)
    }

    #[test]
    fn bytes_and_files_are_counted_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("file"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", inner.join("link")).unwrap();
        assert_eq!(over(dir.path(), Some(900 << 10), None), Some(Resource::Disk));
        assert_eq!(over(dir.path(), Some(1200 << 10), Some(4)), None);
        assert_eq!(over(dir.path(), None, Some(3)), Some(Resource::Files));
    }

    #[test]
    fn what_is_deeper_than_a_path_can_say_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let mut at = Dir::open(dir.path(), FLAGS, Mode::empty()).unwrap();
        for _ in 0..30 {
            nix::sys::stat::mkdirat(&at, name.as_str(), Mode::S_IRWXU).unwrap();
            at = Dir::openat(&at, name.as_str(), FLAGS, Mode::empty()).unwrap();
        }
        assert_eq!(over(dir.path(), None, Some(30)), None);
        assert_eq!(over(dir.path(), None, Some(29)), Some(Resource::Files));
    }
}
