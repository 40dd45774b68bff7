//! An outsider who looks at the outbox all the time: which hints waited when.

use std::collections::BTreeSet;
use std::time::Duration;

use pybit::core::clock::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::check::world::Outbox;

/// What waited at one time.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// When it was looked at, in microseconds by the wall clock of the harness.
    pub(crate) at: i64,
    /// The jobs whose hints were not sent yet.
    pub(crate) jobs: BTreeSet<i64>,
}

/// Looks five times a second until told to stop. What is asked of a database that is away is not known.
pub(crate) async fn watch(url: String, stop: CancellationToken) -> Result<Vec<Waiting>, String> {
    let mut outbox = Outbox::open(&url).await?;
    let mut seen = Vec::new();
    while !stop.is_cancelled() {
        let at = SystemClock.now().as_micros();
        match outbox.jobs().await {
            Ok(jobs) => seen.push(Waiting { at, jobs }),
            Err(_) => {
                if let Ok(again) = Outbox::open(&url).await {
                    outbox = again;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    Ok(seen)
}
