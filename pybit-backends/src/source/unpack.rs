//! Unpacks a foreign `.tar.zst` without following it anywhere.
//!
//! Nothing is written through a link: every parent of an entry must be a real directory. A symbolic link may point
//! upwards only with its first parts, and not out of the tree; so, by induction, no chain of links leads out either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use pybit_core::{Error, ErrorKind, Result};
use tar::{Archive, Entry, EntryType};

use super::{UploadConfig, disk, give};
use crate::env::BuildUser;

/// Names and attributes longer than this are refused; the tar reader keeps them in memory.
const LONGEST_NAME: u64 = 64 << 10;
/// Memory that a decompression may take: 2^27 bytes, what `zstd --long` gives at most by itself.
const WINDOW_LOG: u32 = 27;

type Packed = zstd::Decoder<'static, BufReader<File>>;

/// Unpacks into an existing empty directory; what is written belongs to `user`.
pub(super) fn into_dir(
    archive: &Path,
    tree: &Path,
    config: &UploadConfig,
    user: Option<&BuildUser>,
) -> Result<()> {
    measure(archive, config)?;
    let mut tar = Archive::new(open(archive, config.max_bytes)?);
    for entry in tar.entries().map_err(|e| unreadable(&e))? {
        let mut entry = entry.map_err(|e| unreadable(&e))?;
        if let Some(path) = place(&entry)? {
            let made = put(&mut entry, tree, &path, user)?;
            for path in made {
                give(&path, user)?;
            }
        }
    }
    Ok(())
}

fn open(archive: &Path, max_bytes: u64) -> Result<io::Take<Packed>> {
    let file = File::open(archive).map_err(|e| disk("open", archive, e))?;
    let mut packed = zstd::Decoder::new(file).map_err(|e| unreadable(&e))?;
    packed.window_log_max(WINDOW_LOG).map_err(|e| unreadable(&e))?;
    Ok(packed.take(max_bytes))
}

/// Goes through all headers first, so that a bomb is refused before anything of it is kept.
fn measure(archive: &Path, config: &UploadConfig) -> Result<()> {
    let mut tar = Archive::new(open(archive, config.max_bytes.saturating_add(1))?);
    let (mut count, mut holes) = (0, 0_u64);
    for entry in tar.entries().map_err(|e| unreadable(&e))?.raw(true) {
        let entry = entry.map_err(|e| unreadable(&e))?;
        count += 1;
        let kind = entry.header().entry_type();
        let is_name = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        let size = entry.header().entry_size().map_err(|e| unreadable(&e))?;
        if let Some(gnu) = entry.header().as_gnu().filter(|_| kind.is_gnu_sparse()) {
            // Holes take no room in the archive, but are written out.
            holes = holes.saturating_add(gnu.real_size().map_err(|e| unreadable(&e))?);
        }
        let too_many = count > config.max_entries || holes > config.max_bytes;
        if too_many || (is_name && size > LONGEST_NAME) {
            return Err(too_large(config));
        }
    }
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|e| unreadable(&e))?;
    if rest.limit() == 0 { Err(too_large(config)) } else { Ok(()) }
}

fn too_large(config: &UploadConfig) -> Error {
    let message = format!(
        "the packed tree is larger than {} bytes, or has more than {} files or overlong names",
        config.max_bytes, config.max_entries
    );
    Error::new(ErrorKind::Invalid, message).with_code("source_too_large")
}

fn unreadable(e: &io::Error) -> Error {
    Error::invalid(format!("the packed tree cannot be read: {e}")).with_code("invalid_source")
}

fn refused(path: &Path, why: &str) -> Error {
    let shown: String =
        path.to_string_lossy().chars().filter(|c| !c.is_control()).take(200).collect();
    Error::invalid(format!("the packed tree holds \"{shown}\", {why}")).with_code("invalid_source")
}

/// The entry's path below the tree; none for the tree itself.
fn place(entry: &Entry<'_, io::Take<Packed>>) -> Result<Option<PathBuf>> {
    let path = entry.path().map_err(|e| unreadable(&e))?;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(refused(&path, "whose name leads out of it")),
        }
    }
    Ok((!clean.as_os_str().is_empty()).then_some(clean))
}

/// Writes one entry; the paths that it made.
fn put(
    entry: &mut Entry<'_, io::Take<Packed>>,
    tree: &Path,
    path: &Path,
    user: Option<&BuildUser>,
) -> Result<Vec<PathBuf>> {
    let parents = path.parent().unwrap_or(Path::new(""));
    make_dirs(tree, parents, user)?;
    let to = tree.join(path);
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => refused(path, "twice"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => unreadable(&e),
        _ => disk("write", &to, e),
    };
    match entry.header().entry_type() {
        EntryType::Directory => make_dirs(tree, path, user).map(|()| vec![]),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let executable = entry.header().mode().map_err(|e| unreadable(&e))? & 0o100 != 0;
            let mode = if executable { 0o755 } else { 0o644 };
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&to)
                .map_err(failed)?;
            io::copy(entry, &mut file).map_err(failed)?;
            file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
            Ok(vec![to])
        }
        EntryType::Symlink => {
            let target = link_target(entry, path)?;
            if !stays_inside(parents, &target) {
                return Err(refused(path, "a link out of it"));
            }
            std::os::unix::fs::symlink(target, &to).map_err(failed)?;
            Ok(vec![to])
        }
        EntryType::Link => {
            let target = link_target(entry, path)?;
            let plain =
                target.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            let from = tree.join(&target);
            let regular = plain
                && make_dirs(tree, target.parent().unwrap_or(Path::new("")), user).is_ok()
                && fs::symlink_metadata(&from).is_ok_and(|m| m.is_file());
            if !regular {
                return Err(refused(path, "a hard link to no file of it"));
            }
            fs::hard_link(&from, &to).map_err(failed)?;
            Ok(vec![])
        }
        EntryType::XGlobalHeader => Ok(vec![]),
        _ => Err(refused(path, "which is no file, directory or link")),
    }
}

fn link_target(entry: &Entry<'_, io::Take<Packed>>, path: &Path) -> Result<PathBuf> {
    let target = entry.link_name().map_err(|e| unreadable(&e))?;
    target.map(std::borrow::Cow::into_owned).ok_or_else(|| refused(path, "a link to nothing"))
}

/// Makes the missing directories of a path, and refuses what is there but is no directory.
fn make_dirs(tree: &Path, dirs: &Path, user: Option<&BuildUser>) -> Result<()> {
    let mut place = tree.to_owned();
    for part in dirs.components().filter(|c| !matches!(c, Component::CurDir)) {
        place.push(part);
        match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(refused(dirs, "below what is no directory")),
            Err(_) => {
                fs::create_dir(&place).map_err(|e| disk("make", &place, e))?;
                give(&place, user)?;
            }
        }
    }
    Ok(())
}

/// Whether a link in `parents` stays in the tree: relative, upwards only with its first parts and not above the tree.
fn stays_inside(parents: &Path, target: &Path) -> bool {
    let mut depth = parents.components().count();
    let mut upwards = true;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => upwards = false,
            Component::ParentDir if upwards && depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_up_only_at_its_start_and_never_out() {
        let inside =
            |parents: &str, target: &str| stays_inside(Path::new(parents), Path::new(target));
        assert!(inside("a/b", "../../c/d") && inside("", "x") && inside("a", "./../b"));
        for (parents, target) in
            [("a", "../../x"), ("", ".."), ("a/b", "l/../x"), ("a", "/etc/passwd")]
        {
            assert!(!inside(parents, target), "{target}");
        }
    }
}
