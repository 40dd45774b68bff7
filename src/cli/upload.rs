//! Sending local files, with how far it is.
//!
//! Which upload holds which files is remembered below the user's cache directory: a command that was ended half-way goes
//! on where it broke off, and the same files with the same idempotency key are the same submission.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use pybit::source::Local;
use pybit_client::{Api, Destination, Retry};
use pybit_core::Result;
use pybit_core::model::{FileSpec, Source, UploadId};
use pybit_core::protocol::Manifest;
use sha2::{Digest, Sha256};

use super::output;

/// How often the bar asks the server what has arrived.
const TICK: Duration = Duration::from_millis(300);

/// Sends local files to an upload; the source that a submission names them by.
///
/// A connection that breaks is made anew, and the files go on where they broke off.
pub(super) async fn send(api: &Api, local: &Local) -> Result<Source> {
    let files: Vec<_> = local.files.iter().map(|(spec, _)| spec.clone()).collect();
    let bytes = files.iter().map(|f| f.size).sum();
    let upload = declared(api, files).await?;
    let retry = Retry::patient();
    let sending = api.send_files(Destination::Upload(upload), &local.files, &retry);
    if std::io::stderr().is_terminal() {
        let bar = bar(bytes);
        tokio::select! {
            sent = sending => sent?,
            () = show(api, upload, &bar) => {}
        }
        bar.finish_and_clear();
    } else {
        sending.await?;
    }
    let (count, main) = (local.files.len(), &local.main);
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    output::note(format!("sent {main}{more}, {}", HumanBytes(bytes)));
    Ok(Source::Upload { upload, main: local.main.clone() })
}

/// The upload that was declared for these files before, if the server still has it, else a new one.
async fn declared(api: &Api, files: Vec<FileSpec>) -> Result<UploadId> {
    let note = note_of(api, &files);
    if let Some(id) =
        note.as_ref().and_then(|n| std::fs::read_to_string(n).ok()?.trim().parse().ok())
        && let Ok(states) = api.upload(id).await
        && states.len() == files.len()
        && files.iter().all(|f| states.iter().any(|s| s.spec == *f))
    {
        return Ok(id);
    }
    let upload = api.declare_upload(&Manifest { attempt: 0, files }).await?;
    if let Some(note) = note {
        // Without a note the files are sent once more another time.
        let _ = note.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(note, format!("{}\n", upload.id));
    }
    Ok(upload.id)
}

/// Where the number of these files' upload to this server is noted; nowhere for a user without a home.
fn note_of(api: &Api, files: &[FileSpec]) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|d| d.is_absolute());
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    let mut digest = Sha256::new_with_prefix(api.url().as_str());
    for file in files {
        digest.update(format!("\n{} {} {}", file.sha256, file.size, file.name));
    }
    Some(cache.join("pybit/uploads").join(hex::encode(digest.finalize())))
}

fn bar(bytes: u64) -> ProgressBar {
    let template = "sending {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

/// Moves the bar for ever. What the server does not tell just now it tells the next time.
async fn show(api: &Api, upload: UploadId, bar: &ProgressBar) {
    loop {
        tokio::time::sleep(TICK).await;
        if let Ok(files) = api.upload(upload).await {
            bar.set_position(files.iter().map(|f| f.length).sum());
        }
    }
}
