//! Runs a server from its first connection to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pybit_core::upload::UploadReader;
use pybit_core::{Error, ErrorKind, Farm, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acceptor::Door;
use crate::app::AppState;
use crate::blobs::Blobs;
use crate::config::WebConfig;
use crate::open_files::seats;
use crate::{router, tasks};

/// What a server stands on.
#[derive(Debug, Clone)]
pub struct WebParts {
    /// The farm.
    pub farm: Farm,
    /// Where logs and files lie.
    pub blobs: Blobs,
    /// Who reads the uploads of `dput`; only a `[web.dput]` table needs it.
    pub uploads: Option<Arc<dyn UploadReader>>,
}

/// Serves until `shutdown` is cancelled, background tasks included, and returns when they and the running requests have
/// ended or `stop_ms` is over.
///
/// `ready` gets the address once connections are accepted: with port 0 the system's choice. An address that cannot be
/// listened on is `Unavailable`.
pub async fn serve(
    config: WebConfig,
    parts: WebParts,
    ready: oneshot::Sender<SocketAddr>,
    shutdown: CancellationToken,
) -> Result<()> {
    let listener = TcpListener::bind(config.listen).await.map_err(|e| cannot(config.listen, e))?;
    let address = listener.local_addr().map_err(|e| cannot(config.listen, e))?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "tokens travel unencrypted to this address; put a TLS proxy in front of it");
    }
    let idle = Duration::from_millis(config.idle_ms.max(1));
    let door = Door::new(listener, seats(config.most_connections), idle)
        .map_err(|e| cannot(config.listen, e))?;
    let stop = Duration::from_millis(config.stop_ms);
    let stopping = shutdown.child_token();
    let _stop_on_exit = stopping.clone().drop_guard();
    let state = AppState::new(parts.farm, parts.blobs, parts.uploads, config, stopping.clone())?;
    let background = TaskTracker::new();
    tasks::start(&state, &background);
    background.close();
    // Nobody may be waiting for the address.
    let _ = ready.send(address);
    door.serve(router::app(&state), &stopping, stop).await;
    stopping.cancel();
    if tokio::time::timeout(stop, background.wait()).await.is_err() {
        tracing::warn!("a background step did not end in time");
    }
    Ok(())
}

fn cannot(address: SocketAddr, error: std::io::Error) -> Error {
    let why = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program listens there; stop it or choose another address".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => {
            "this user may not; choose a port above 1023".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address".to_owned()
        }
        _ => error.to_string(),
    };
    let message = format!("cannot listen on {address}: {why}");
    Error::new(ErrorKind::Unavailable, message).with_code("cannot_listen").with_source(error)
}
