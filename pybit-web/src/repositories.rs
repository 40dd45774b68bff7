//! The published repositories' files, as `apt`, `dnf` and `pip` fetch them.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use poem::http::{StatusCode, header};
use poem::{Body, Response};
use pybit_core::model::RepositoryName;
use pybit_core::{Error, ErrorKind};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::front;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// The date of HTTP headers (RFC 9110, 5.6.7).
const DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// `GET /repositories/{name}/…`: a file of the snapshot that `current` names at this moment.
pub(crate) async fn file(call: Call) -> ApiResult<Response> {
    let absent = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such file");
    let name: RepositoryName = call.name("name").map_err(|_| absent())?;
    let dir = call.state.config.repositories.clone().ok_or_else(absent)?;
    let wanted = clean(call.text("path")).ok_or_else(absent)?;
    let (file, meta) = match open(&dir.join(name.as_str()), &wanted).await {
        Ok(Found::File(opened)) => *opened,
        Ok(Found::Directory) => return to_directory(&wanted).ok_or_else(absent),
        Ok(Found::Nothing) => return Err(absent()),
        Err(e) => {
            let message = "the repository cannot be read; try again";
            return Err(Error::new(ErrorKind::Unavailable, message).with_source(e).into());
        }
    };
    let tag =
        format!("\"{:x}-{:x}-{:x}-{:x}\"", meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
    if front::is_unchanged(call.header("if-none-match"), &tag) {
        return Ok(front::unchanged());
    }
    let mut response = Response::builder()
        .content_type(content_type(&wanted))
        .header(header::CONTENT_LENGTH, meta.len())
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, "no-cache")
        .body(Body::from_bytes_stream(ReaderStream::with_capacity(file, CHUNK)));
    if let Some(date) = date(&meta)
        && let Ok(date) = date.parse()
    {
        response.headers_mut().insert(header::LAST_MODIFIED, date);
    }
    front::inert(&mut response);
    Ok(response)
}

/// What a path leads to.
enum Found {
    File(Box<(File, Metadata)>),
    /// One with an index page.
    Directory,
    Nothing,
}

/// The page of a directory, whose links are relative to it.
const INDEX: &str = "index.html";

/// Leads a reader who has asked for a directory without the slash at its end to the one with it.
fn to_directory(wanted: &Path) -> Option<Response> {
    let last = wanted.file_name()?.to_str()?;
    let moved = Response::builder().status(StatusCode::MOVED_PERMANENTLY);
    Some(moved.header(header::LOCATION, format!("./{last}/")).finish())
}

/// The path below the snapshot, of a directory's page where it ends with a slash; `None` for one that is empty, hidden, leads
/// upwards or holds what no repository's file name holds.
fn clean(path: &str) -> Option<PathBuf> {
    let good = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.len() <= 255
            && part.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    let page = path.strip_suffix('/');
    let clean = path.len() <= 2000 && page.unwrap_or(path).split('/').all(good);
    clean.then(|| page.map_or_else(|| PathBuf::from(path), |dir| Path::new(dir).join(INDEX)))
}

/// Opens a regular file inside the current snapshot; a link that leads out of it is absent.
async fn open(root: &Path, wanted: &Path) -> io::Result<Found> {
    let found = async {
        let snapshot = tokio::fs::canonicalize(root.join("current")).await?;
        let target = tokio::fs::canonicalize(snapshot.join(wanted)).await?;
        if !target.starts_with(&snapshot) {
            return Ok(Found::Nothing);
        }
        let file = File::open(&target).await?;
        let meta = file.metadata().await?;
        if meta.is_file() {
            return Ok(Found::File(Box::new((file, meta))));
        }
        let page = meta.is_dir() && tokio::fs::try_exists(target.join(INDEX)).await?;
        Ok(if page { Found::Directory } else { Found::Nothing })
    };
    match found.await {
        Err(e) if is_absent(&e) => Ok(Found::Nothing),
        other => other,
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidFilename)
}

fn content_type(path: &Path) -> &'static str {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match path.extension().and_then(OsStr::to_str) {
        Some("deb" | "udeb") => "application/vnd.debian.binary-package",
        Some("rpm") => "application/x-rpm",
        Some("html") => "text/html; charset=utf-8",
        Some("whl") => "application/zip",
        Some("gz") => "application/gzip",
        Some("asc" | "dsc" | "changes" | "buildinfo" | "metadata") => "text/plain; charset=utf-8",
        None if ["Release", "InRelease", "Packages", "Sources"].contains(&name) => {
            "text/plain; charset=utf-8"
        }
        _ => "application/octet-stream",
    }
}

fn date(meta: &Metadata) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(meta.mtime()).ok()?.format(DATE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_the_snapshot_are_looked_for() {
        for good in ["dists/bookworm/InRelease", "pool/main/h/hello/hello_1:2.10-3~x+y_amd64.deb"] {
            assert!(clean(good).is_some(), "{good}");
        }
        assert_eq!(clean("simple/hello/"), Some(PathBuf::from("simple/hello/index.html")));
        let long = "a/".repeat(2000);
        for bad in [
            "",
            "/",
            "a//b",
            "../x",
            "a/../b",
            ".git/config",
            "a/.x",
            "a b",
            "a\0b",
            "a\\b",
            "a//",
            "/a",
            "../",
            &long,
        ] {
            assert!(clean(bad).is_none(), "{bad:?}");
        }
    }
}
