//! `pybit web`, `client` and `watch`: one role alone, configured by the file.

use pybit::roles::{self, Backends};
use pybit_core::Result;
use tokio_util::sync::CancellationToken;

use super::context::Where;

/// What a server, client or watcher by itself says of its work. What lapin says, the transport says in a sentence.
const ALL: &str = "info,sqlx=warn,lapin=off";
/// What `pybit up` says beside its own lines.
pub(super) const QUIET: &str = "warn,lapin=off";

/// Logs of a role go to standard error; `PYBIT_LOG` filters them, by `usual` where it is not set.
pub(super) fn log_to_stderr(usual: &str) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env("PYBIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A program that embeds this may have set its own.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}

/// A test build says before anything else what it was told to do wrong.
pub(super) fn warn_of_trial() -> Result<()> {
    if let Some(told) = pybit_core::trial::said()? {
        tracing::error!("{told}");
    }
    Ok(())
}

/// Cancelled when the process is told to end.
pub(super) fn ending() -> CancellationToken {
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        let _ = pybit_client::signalled(std::time::Duration::ZERO).await;
        told.cancel();
    });
    token
}

pub(super) async fn web(place: &Where) -> Result<()> {
    log_to_stderr(ALL);
    warn_of_trial()?;
    let config = place.load()?;
    roles::run_web(&config, &Backends::default(), ending()).await
}

pub(super) async fn client(place: &Where) -> Result<()> {
    log_to_stderr(ALL);
    warn_of_trial()?;
    let config = place.load()?;
    let client = config.client_role()?;
    let transport = roles::client_transport(&config, &Backends::default()).await?;
    let drain = std::time::Duration::from_secs(client.drain_secs);
    let stop =
        async move { pybit_client::signalled(drain).await.unwrap_or(pybit_client::Shutdown::Fast) };
    let ended = roles::run_client(client, transport.clone(), stop).await;
    if let Some(transport) = transport {
        transport.close().await;
    }
    ended
}

pub(super) async fn watch(place: &Where) -> Result<()> {
    log_to_stderr(ALL);
    warn_of_trial()?;
    let config = place.load()?.watch_role()?;
    roles::run_watch(config, ending()).await
}
