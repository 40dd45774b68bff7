//! The index of indices: `Release`, and the `by-hash` names of what it lists.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use pybit_core::model::Arch;
use pybit_core::{Error, Result};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::config::RepreproConfig;
use super::{error, files};

/// The indices below `dists/CODENAME`: path, SHA-256 and size.
pub(super) type Indices = BTreeMap<String, (String, u64)>;

/// Finds and digests all indices below `dist`.
pub(super) fn indices(dist: &Path) -> Result<Indices> {
    let mut found = Indices::new();
    for part in fs::read_dir(dist).map_err(|e| error::io("read", dist, e))? {
        let part = part.map_err(|e| error::io("read", dist, e))?;
        if part.path().is_dir() {
            walk(&part.path(), &part.file_name().to_string_lossy(), &mut found)?;
        }
    }
    Ok(found)
}

fn walk(dir: &Path, prefix: &str, found: &mut Indices) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| error::io("read", dir, e))? {
        let entry = entry.map_err(|e| error::io("read", dir, e))?;
        let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &path, found)?;
        } else {
            found.insert(path, files::digest(&entry.path())?);
        }
    }
    Ok(())
}

/// The name of an index by its digest (Debian wiki, `DebianRepository/Format`, "by-hash").
pub(super) fn by_hash(path: &str, sha256: &str) -> String {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    format!("{dir}/by-hash/SHA256/{sha256}")
}

/// The text of `Release` of a state dated `date` (seconds since 1970).
pub(super) fn text(config: &RepreproConfig, date: i64, indices: &Indices) -> Result<String> {
    let arches = config.arches.iter().map(Arch::as_str).collect::<Vec<_>>().join(" ");
    let mut text = format!(
        "{names}Suite: {suite}\nCodename: {codename}\nDate: {date}\n",
        names = config.identity.names(),
        suite = config.suite,
        codename = config.codename,
        date = stamp(date)?,
    );
    if let Some(valid) = config.valid_until {
        let _ = writeln!(text, "{VALID_UNTIL}{}", stamp(until(date, valid))?);
    }
    let _ = write!(
        text,
        "{choices}Acquire-By-Hash: yes\nArchitectures: {arches}\nComponents: {components}\nSHA256:\n",
        choices = config.identity.choices(),
        components = config.components.join(" "),
    );
    for (path, (sha256, size)) in indices {
        let _ = writeln!(text, " {sha256} {size:>16} {path}");
    }
    Ok(text)
}

fn until(date: i64, valid: Duration) -> i64 {
    date.saturating_add(i64::try_from(valid.as_secs()).unwrap_or(i64::MAX))
}

const DATE: &str = "Date: ";
const VALID_UNTIL: &str = "Valid-Until: ";
const FORMAT: &[BorrowedFormatItem<'static>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] UTC"
);

/// `Date` and `Valid-Until` of a `Release` that [`text`] wrote, in seconds since 1970.
pub(super) fn dates(release: &str) -> (Option<i64>, Option<i64>) {
    let field = |name| {
        let value =
            release.lines().take_while(|l| *l != "SHA256:").find_map(|l| l.strip_prefix(name));
        let date = PrimitiveDateTime::parse(value?, FORMAT).ok()?;
        Some(date.assume_utc().unix_timestamp())
    };
    (field(DATE), field(VALID_UNTIL))
}

/// A date as `Release` has it: `Mon, 23 Nov 2026 01:40:18 UTC`.
fn stamp(seconds: i64) -> Result<String> {
    let bad = |e| Error::invalid(format!("{seconds} s after 1970 is no date: {e}"));
    let date = OffsetDateTime::from_unix_timestamp(seconds).map_err(|e| bad(e.to_string()))?;
    date.format(FORMAT).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_its_indices_and_until_when_it_is_valid() {
        let mut config = RepreproConfig::new(
            "/r",
            "Debian".parse().unwrap(),
            "bookworm".parse().unwrap(),
            vec!["amd64".parse().unwrap()],
        );
        config.valid_until = Some(Duration::from_hours(24));
        let indices = Indices::from([("main/source/Sources".into(), ("ab".into(), 12))]);
        config.identity.not_automatic = true;
        let text = text(&config, 1_795_398_018, &indices).unwrap();
        assert_eq!(
            text,
            "Origin: pybit\nLabel: pybit bookworm\nSuite: bookworm\nCodename: bookworm\n\
             Date: Mon, 23 Nov 2026 01:40:18 UTC\nValid-Until: Tue, 24 Nov 2026 01:40:18 UTC\nNotAutomatic: yes\n\
             Acquire-By-Hash: yes\nArchitectures: amd64\n\
             Components: main contrib non-free non-free-firmware\nSHA256:\n \
             ab               12 main/source/Sources\n"
        );
        assert_eq!(dates(&text), (Some(1_795_398_018), Some(1_795_484_418)));
        assert_eq!(dates("Origin: x\nDate: never\n"), (None, None));
        assert_eq!(by_hash("main/source/Sources", "ab"), "main/source/by-hash/SHA256/ab");
    }
}
