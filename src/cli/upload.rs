//! Sending local files, with how far it is.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use pybit_client::{Api, Destination, Retry};
use pybit_core::Result;
use pybit_core::model::{Source, UploadId};
use pybit_core::protocol::Manifest;

use super::output;
use super::source::Local;

/// How often the bar asks the server what has arrived.
const TICK: Duration = Duration::from_millis(300);

/// Sends local files to an upload of their own; the source that a submission names them by.
///
/// A connection that breaks is made anew, and the files go on where they broke off.
pub(super) async fn send(api: &Api, local: &Local) -> Result<Source> {
    let files: Vec<_> = local.files.iter().map(|(spec, _)| spec.clone()).collect();
    let bytes = files.iter().map(|f| f.size).sum();
    let upload = api.declare_upload(&Manifest { attempt: 0, files }).await?;
    let retry = Retry::patient();
    let sending = api.send_files(Destination::Upload(upload.id), &local.files, &retry);
    if std::io::stderr().is_terminal() {
        let bar = bar(bytes);
        tokio::select! {
            sent = sending => sent?,
            () = show(api, upload.id, &bar) => {}
        }
        bar.finish_and_clear();
    } else {
        sending.await?;
    }
    let (count, main) = (local.files.len(), &local.main);
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    output::note(format!("sent {main}{more}, {}", HumanBytes(bytes)));
    Ok(Source::Upload { upload: upload.id, main: local.main.clone() })
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
