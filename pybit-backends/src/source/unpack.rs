//! Unpacks a foreign `.tar.zst` without following it anywhere.
//!
//! Nothing is written through a link: every parent of an entry must be a real directory. A symbolic link may point
//! upwards only with its first parts, and not out of the tree; so, by induction, no chain of links leads out either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind, Result};
use tar::{Archive, Entry, EntryType};

use super::{UploadConfig, disk};

/// Names and attributes longer than this are refused; the tar reader keeps them in memory.
const LONGEST_NAME: u64 = 64 << 10;
/// Memory that a decompression may take: 2^27 bytes, what `zstd --long` gives at most by itself.
const WINDOW_LOG: u32 = 27;

type Packed = zstd::Decoder<'static, BufReader<File>>;

/// Exit codes of the helper process for the kinds of failure that its caller tells apart.
const CODES: [(u8, ErrorKind); 3] =
    [(3, ErrorKind::Invalid), (4, ErrorKind::Full), (5, ErrorKind::Unavailable)];

/// What the helper is told: `unpack ARCHIVE TREE MAX_BYTES MAX_ENTRIES`.
pub(super) fn to_args(archive: &Path, tree: &Path, config: &UploadConfig) -> Vec<String> {
    vec![
        "unpack".to_owned(),
        archive.display().to_string(),
        tree.display().to_string(),
        config.max_bytes.to_string(),
        config.max_entries.to_string(),
    ]
}

/// The failure that the helper has ended with.
pub(super) fn failure(exit: Exit, said: &str) -> Error {
    let known = CODES.iter().find(|(code, _)| exit == Exit::Code((*code).into()));
    match known {
        Some((_, ErrorKind::Invalid)) => Error::invalid(said).with_code("invalid_source"),
        Some((_, kind)) => Error::new(*kind, said),
        None => {
            let message = format!("the packed tree cannot be unpacked ({exit:?}): {said}");
            match exit {
                // The archive had the helper for itself: whatever ended it was in the archive.
                Exit::TimedOut | Exit::Silent | Exit::LogLimit | Exit::Signal(_) => {
                    Error::invalid(message).with_code("invalid_source")
                }
                _ => Error::new(ErrorKind::Unavailable, message),
            }
        }
    }
}

/// The helper's `main`: unpacks as the build user, so that a foreign archive is read without any privilege.
pub(crate) fn main(args: &[String]) -> ExitCode {
    let unpacked = match args {
        [archive, tree, max_bytes, max_entries] => match (max_bytes.parse(), max_entries.parse()) {
            (Ok(max_bytes), Ok(max_entries)) => {
                let config = UploadConfig { max_bytes, max_entries };
                into_dir(Path::new(archive), Path::new(tree), &config)
            }
            _ => Err(Error::internal("the bounds of unpacking are no numbers")),
        },
        _ => Err(Error::internal("unpack needs ARCHIVE TREE MAX_BYTES MAX_ENTRIES")),
    };
    let Err(e) = unpacked else { return ExitCode::SUCCESS };
    // Where standard error is gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{e}");
    let code = CODES.iter().find(|(_, kind)| *kind == e.kind());
    code.map_or(ExitCode::FAILURE, |(code, _)| ExitCode::from(*code))
}

/// Unpacks into a new directory.
fn into_dir(archive: &Path, tree: &Path, config: &UploadConfig) -> Result<()> {
    fs::create_dir(tree).map_err(|e| disk("make", tree, e))?;
    measure(archive, config)?;
    let mut tar = Archive::new(open(archive, config.max_bytes)?);
    for entry in tar.entries().map_err(|e| unreadable(&e))? {
        let mut entry = entry.map_err(|e| unreadable(&e))?;
        if let Some(path) = place(&entry)? {
            put(&mut entry, tree, &path)?;
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
    Error::new(ErrorKind::Invalid, message).with_code("invalid_source")
}

fn unreadable(e: &io::Error) -> Error {
    Error::invalid(format!("the packed tree cannot be read: {e}")).with_code("invalid_source")
}

/// A failure to write an entry: of its name where that is what the system does not take, else of the disk.
fn written(what: &str, path: &Path, e: io::Error) -> Error {
    use io::ErrorKind::{
        FileTooLarge, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, TooManyLinks,
    };
    match e.kind() {
        InvalidFilename | InvalidInput | NotADirectory | IsADirectory | TooManyLinks
        | FileTooLarge => refused(path, &format!("which cannot be written: {e}")),
        _ => disk(what, path, e),
    }
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

/// Writes one entry.
fn put(entry: &mut Entry<'_, io::Take<Packed>>, tree: &Path, path: &Path) -> Result<()> {
    let parents = path.parent().unwrap_or(Path::new(""));
    make_dirs(tree, parents)?;
    let to = tree.join(path);
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => refused(path, "twice"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => unreadable(&e),
        _ => written("write", &to, e),
    };
    match entry.header().entry_type() {
        EntryType::Directory => make_dirs(tree, path),
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
            Ok(())
        }
        EntryType::Symlink => {
            let target = link_target(entry, path)?;
            if !stays_inside(parents, &target) {
                return Err(refused(path, "a link out of it"));
            }
            std::os::unix::fs::symlink(target, &to).map_err(failed)?;
            Ok(())
        }
        EntryType::Link => {
            let target = link_target(entry, path)?;
            let plain =
                target.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            let from = tree.join(&target);
            let regular = plain
                && make_dirs(tree, target.parent().unwrap_or(Path::new(""))).is_ok()
                && fs::symlink_metadata(&from).is_ok_and(|m| m.is_file());
            if !regular {
                return Err(refused(path, "a hard link to no file of it"));
            }
            fs::hard_link(&from, &to).map_err(failed)?;
            Ok(())
        }
        EntryType::XGlobalHeader => Ok(()),
        _ => Err(refused(path, "which is no file, directory or link")),
    }
}

fn link_target(entry: &Entry<'_, io::Take<Packed>>, path: &Path) -> Result<PathBuf> {
    let target = entry.link_name().map_err(|e| unreadable(&e))?;
    target.map(std::borrow::Cow::into_owned).ok_or_else(|| refused(path, "a link to nothing"))
}

/// Makes the missing directories of a path, and refuses what is there but is no directory.
fn make_dirs(tree: &Path, dirs: &Path) -> Result<()> {
    let mut place = tree.to_owned();
    for part in dirs.components().filter(|c| !matches!(c, Component::CurDir)) {
        place.push(part);
        match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(refused(dirs, "below what is no directory")),
            Err(_) => fs::create_dir(&place).map_err(|e| written("make", &place, e))?,
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
