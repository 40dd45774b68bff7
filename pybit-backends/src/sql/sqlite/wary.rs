//! What is looked at before a database is trusted: the library's version, and the file after an unclean stop.

use std::path::Path;

use pybit_core::{Error, ErrorKind, Result};
use sqlx::{Pool, Sqlite};

use crate::sql::call::Call;
use crate::sql::error::failed;
use crate::sql::statements;

/// Before this version two connections, one that checkpoints and one that writes, could corrupt the database (the
/// "WAL-reset bug" in the release notes of SQLite 3.51.3).
const OLDEST: (u32, u32, u32) = (3, 51, 3);

/// A write-ahead log that was not emptied is what a killed process leaves.
pub(super) async fn has_left_overs(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    tokio::fs::metadata(log).await.is_ok_and(|m| m.len() > 0)
}

pub(super) async fn check_version(pool: &Pool<Sqlite>) -> Result<()> {
    let mut connection = pool.acquire().await.map_err(|e| failed::<Sqlite>("open", e))?;
    let version = Call::<Sqlite>::new(&statements::SQLITE_VERSION)
        .one(&mut connection, |c| c.text("version"))
        .await?;
    if is_recent(&version) {
        return Ok(());
    }
    let (major, minor, patch) = OLDEST;
    let message = format!("pybit needs SQLite {major}.{minor}.{patch} or newer, this is {version}");
    Err(Error::new(ErrorKind::Unsupported, message).with_op("open").with_code("sqlite_too_old"))
}

fn is_recent(version: &str) -> bool {
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST
}

pub(super) async fn quick_check(pool: &Pool<Sqlite>, shown: &str) -> Result<()> {
    let mut connection = pool.acquire().await.map_err(|e| failed::<Sqlite>("open", e))?;
    let found = Call::<Sqlite>::new(&statements::SQLITE_CHECK)
        .one(&mut connection, |c| c.text("quick_check"))
        .await?;
    if found == "ok" {
        return Ok(());
    }
    let message = format!("{shown} is damaged ({found}); restore it from a backup");
    Err(Error::new(ErrorKind::Corrupt, message).with_op("open").with_code("database_damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        for recent in ["3.51.3", "3.51.10", "3.60.0", "4.0"] {
            assert!(is_recent(recent), "{recent}");
        }
        for old in ["3.51.2", "3.9.9", "3.51", ""] {
            assert!(!is_recent(old), "{old}");
        }
    }
}
