//! Takes the results of a build out of its output directory, for every format.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use pybit_core::format::Collected;
use pybit_core::model::{FileName, FileSpec, Produced};
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::description::LARGEST;

/// Does blocking work on a build's output off the runtime's own threads.
pub(crate) async fn blocking(
    work: impl FnOnce() -> Result<Collected> + Send + 'static,
) -> Result<Collected> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("collecting a build's results broke off").with_source(e))?
}

/// The one file whose name ends so, and its bytes.
pub(crate) fn description(output: &Path, suffix: &str) -> Result<(FileName, Vec<u8>)> {
    let failed = |e: std::io::Error| read_error(output, e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(output).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().filter(|n| n.ends_with(suffix)).map(str::to_owned));
    }
    let [name] = found.as_slice() else {
        let count = found.len();
        return Err(refused(&format!(
            "the build left {count} {suffix} files, and must leave exactly one"
        )));
    };
    let name: FileName = name.parse()?;
    let bytes = read_small(output, &name, LARGEST)?;
    Ok((name, bytes))
}

/// The bytes of a file of at most so many.
pub(crate) fn read_small(output: &Path, name: &FileName, most: usize) -> Result<Vec<u8>> {
    let path = output.join(name.as_str());
    let (file, size) = open(&path, name)?;
    if size > most as u64 {
        return Err(refused(&format!("{name} is larger than {most} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes).map_err(|e| read_error(&path, e))?;
    Ok(bytes)
}

/// The description and the files that it lists, each checked.
///
/// Fails, `Invalid`, code `invalid_artifact`, for a listed file that is missing, not regular, hard-linked or other than listed.
pub(crate) fn gather<'a>(
    output: &Path,
    main: FileName,
    bytes: &[u8],
    listed: impl Iterator<Item = &'a FileSpec>,
    produced: Vec<Produced>,
) -> Result<Collected> {
    let spec = FileSpec {
        name: main.clone(),
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
    };
    let mut files = vec![(spec, output.join(main.as_str()))];
    for spec in listed {
        if spec.name == main {
            return Err(refused(&format!("{main} lists itself")));
        }
        let path = output.join(spec.name.as_str());
        check(&path, spec)?;
        files.push((spec.clone(), path));
    }
    Ok(Collected { files, main, produced })
}

/// Checks size and digest of a listed file, reading no more than its listed size.
fn check(path: &Path, spec: &FileSpec) -> Result<()> {
    let (file, size) = open(path, &spec.name)?;
    if size != spec.size {
        return Err(refused(&format!("{} has {size} bytes, listed are {}", spec.name, spec.size)));
    }
    let mut hasher = Sha256::new();
    let mut reader = file.take(size);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = reader.read(&mut buffer).map_err(|e| read_error(path, e))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    if hex::encode(hasher.finalize()) != spec.sha256 {
        return Err(refused(&format!("{} has another SHA-256 than is listed", spec.name)));
    }
    Ok(())
}

/// Opens a regular file that has no other name; never through a symbolic link, and never waits on a pipe.
fn open(path: &Path, name: &FileName) -> Result<(File, u64)> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|e| match e.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ELOOP as i32 => {
            refused(&format!("{name} is a symbolic link"))
        }
        _ if e.kind() == std::io::ErrorKind::NotFound => {
            refused(&format!("{name} is listed and not there"))
        }
        _ => read_error(path, e),
    })?;
    let meta = file.metadata().map_err(|e| read_error(path, e))?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Err(refused(&format!("{name} is not a regular file with one name")));
    }
    Ok((file, meta.len()))
}

/// True where a file cannot be opened because the machine is in trouble: no build can cause that with the file.
fn is_of_the_machine(e: &std::io::Error) -> bool {
    use nix::errno::Errno::{EIO, EMFILE, ENFILE, ENOMEM};
    e.raw_os_error()
        .is_some_and(|code| [EIO, EMFILE, ENFILE, ENOMEM].iter().any(|&of| of as i32 == code))
}

/// Refuses a result; `why` ends the sentence "the build's result is refused: …".
pub(crate) fn refused(why: &str) -> Error {
    Error::invalid(format!("the build's result is refused: {why}")).with_code("invalid_artifact")
}

/// A file of the build that cannot be read: a socket, one that its owner has closed; or the machine is in trouble.
fn read_error(path: &Path, error: std::io::Error) -> Error {
    let what = format!("{} cannot be read: {error}", path.display());
    if !is_of_the_machine(&error) {
        return refused(&what);
    }
    Error::new(ErrorKind::Unavailable, what).with_source(error)
}
