//! Takes the results of a build out of its output directory.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use pybit_core::format::Collected;
use pybit_core::model::{FileName, FileSpec, Produced, Version};
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::changes::{self, Changes};
use super::control::LARGEST;
use super::dsc;
use super::versions::without_epoch;

/// Gathers and checks a build's result: the one `.dsc` or `.changes`, and exactly the files that it lists.
///
/// What it does not list stays behind. Fails, `Invalid`: code `invalid_artifact` for a listed file that is missing, not
/// regular, hard-linked or other than listed, and where there is not exactly one description; the codes of `.dsc` and
/// `.changes` for what they say.
pub(super) async fn collect(output: &Path, source_build: bool) -> Result<Collected> {
    let output = output.to_owned();
    let work = move || {
        if source_build { source(&output) } else { binary(&output) }
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal("collecting a build's results broke off").with_source(e))?
}

fn source(output: &Path) -> Result<Collected> {
    let (main, bytes) = description(output, ".dsc")?;
    let info = dsc::read(&bytes)?;
    gather(output, main, &bytes, info.files.iter(), Vec::new())
}

fn binary(output: &Path) -> Result<Collected> {
    let (main, bytes) = description(output, ".changes")?;
    let changes = changes::read_changes(&bytes)?;
    let produced = produced(&changes)?;
    if produced.is_empty() {
        return Err(bad(format!("{main} lists no .deb")));
    }
    gather(output, main, &bytes, changes.files.iter().map(|f| &f.spec), produced)
}

/// The one file whose name ends so, and its bytes.
fn description(output: &Path, suffix: &str) -> Result<(FileName, Vec<u8>)> {
    let failed = |e: std::io::Error| read_error(output, e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(output).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().filter(|n| n.ends_with(suffix)).map(str::to_owned));
    }
    let [name] = found.as_slice() else {
        let count = found.len();
        return Err(bad(format!(
            "the build left {count} {suffix} files, and must leave exactly one"
        )));
    };
    let name: FileName = name.parse()?;
    let (file, size) = open(&output.join(name.as_str()), &name)?;
    let limit = LARGEST as u64;
    if size > limit {
        return Err(bad(format!("{name} is larger than 1 MiB")));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok((name, bytes))
}

fn gather<'a>(
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
            return Err(bad(format!("{main} lists itself")));
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
        return Err(bad(format!("{} has {size} bytes, listed are {}", spec.name, spec.size)));
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
        return Err(bad(format!("{} has another SHA-256 than is listed", spec.name)));
    }
    Ok(())
}

/// Opens a regular file that has no other name; never through a symbolic link, and never waits on a pipe.
fn open(path: &Path, name: &FileName) -> Result<(File, u64)> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|e| match e.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ELOOP as i32 => {
            bad(format!("{name} is a symbolic link"))
        }
        _ if e.kind() == std::io::ErrorKind::NotFound => {
            bad(format!("{name} is listed and not there"))
        }
        _ => read_error(path, e),
    })?;
    let meta = file.metadata().map_err(|e| read_error(path, e))?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Err(bad(format!("{name} is not a regular file with one name")));
    }
    Ok((file, meta.len()))
}

/// The binary packages that a `.changes` lists.
///
/// A file name says version and architecture but no epoch: where the version is the upload's, its epoch is the
/// upload's too; a binary package that has a version of its own is taken to have no epoch.
fn produced(changes: &Changes) -> Result<Vec<Produced>> {
    let debs = changes.files.iter().filter_map(|f| f.spec.name.as_str().strip_suffix(".deb"));
    debs.map(|stem| {
        let words: Vec<&str> = stem.split('_').collect();
        let [name, version, arch] = words.as_slice() else {
            return Err(bad(format!("{stem}.deb is not named PACKAGE_VERSION_ARCHITECTURE.deb")));
        };
        if !changes.arches.iter().any(|a| a == arch) {
            return Err(bad(format!(
                "{stem}.deb is for an architecture that the .changes does not name"
            )));
        }
        let version = full_version(version, &changes.version)?;
        Ok(Produced { name: dsc::package_name(name)?, version, arch: (*arch).to_owned() })
    })
    .collect()
}

fn full_version(written: &str, upload: &Version) -> Result<Version> {
    if written == without_epoch(upload.as_str()) {
        return Ok(upload.clone());
    }
    dsc::version(written)
}

fn bad(why: impl AsRef<str>) -> Error {
    Error::invalid(format!("the build's result is refused: {}", why.as_ref()))
        .with_code("invalid_artifact")
}

fn read_error(path: &Path, error: std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    Error::new(ErrorKind::Unavailable, format!("{} cannot be read: {error}", path.display()))
        .with_source(error)
}
