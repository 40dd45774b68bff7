//! Whether a server of the farm has a database open: what it writes during a copy, or after, would be missing in the copy.

use pybit_core::Result;

use super::engine::{Upkeep, number};
use crate::sql::SqlStore;

/// How many servers use this database, where the engine can tell.
pub(super) async fn servers<D: Upkeep>(store: &SqlStore<D>) -> Result<u64> {
    let Some(query) = D::SERVERS else { return Ok(0) };
    let mut reader = store.reader().await?;
    let count = number::<D>(&mut reader, query.to_owned()).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The process that has a SQLite file open, by the lock that each connection holds for as long as it is open: to be asked
/// before this process opens the file too. Nothing is known where the kernel does not tell, as of other machines.
#[cfg(feature = "sqlite")]
pub(super) fn process_with(file: &std::path::Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(file).ok()?;
    let device = (nix::sys::stat::major(meta.dev()), nix::sys::stat::minor(meta.dev()));
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder(line, device, meta.ino()))
}

/// The process of a line of `/proc/locks`, where it is of this file and of the bytes that SQLite locks (`PENDING_BYTE` and
/// on, in its `os_unix.c`): `1: POSIX  ADVISORY  READ 1234 fe:01:5678 1073741826 1073742335`.
#[cfg(feature = "sqlite")]
fn holder(line: &str, device: (u64, u64), inode: u64) -> Option<u32> {
    const PENDING: u64 = 0x4000_0000;
    let mut words = line.split_whitespace().skip(1);
    let kind = words.next()?;
    if kind == "->" {
        return None;
    }
    let pid = words.nth(2)?.parse().ok()?;
    let mut place = words.next()?.split(':');
    let mut number = |radix| u64::from_str_radix(place.next()?, radix).ok();
    let found = (number(16)?, number(16)?);
    let same = found == device && number(10)? == inode;
    let start: u64 = words.next()?.parse().ok()?;
    (kind == "POSIX" && same && (PENDING..PENDING + 512).contains(&start)).then_some(pid)
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::holder;

    #[test]
    fn a_lock_of_a_sqlite_file_names_its_process() {
        let line = "1: POSIX  ADVISORY  READ  1234 fe:01:5678 1073741826 1073742335";
        assert_eq!(holder(line, (0xfe, 1), 5678), Some(1234));
        assert_eq!(holder(line, (0xfe, 1), 5679), None);
        assert_eq!(holder(line, (0xfe, 2), 5678), None);
        for other in [
            "2: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF",
            "3: POSIX  ADVISORY  READ  1234 fe:01:5678 120 120",
            "4: -> POSIX  ADVISORY  WRITE 1234 fe:01:5678 1073741826 1073742335",
            "",
        ] {
            assert_eq!(holder(other, (0xfe, 1), 5678), None, "{other}");
        }
    }
}
