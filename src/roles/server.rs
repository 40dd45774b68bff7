//! The web server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "postgres")]
use pybit_backends::sql::PostgresFactory;
#[cfg(feature = "sqlite")]
use pybit_backends::sql::SqliteFactory;
use pybit_client::Secret;
use pybit_core::clock::SystemClock;
use pybit_core::memory::MemoryStorageFactory;
use pybit_core::model::Grant;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::{Error, Farm, Result};
use pybit_web::{Blobs, WebParts};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::transport::server_transport;
use super::{DataDir, formats};
use crate::config::Config;

/// The storages that this program knows, by URL scheme.
pub fn storages() -> Registry<dyn Storage> {
    let known = Registry::new("storage").with(MemoryStorageFactory);
    #[cfg(feature = "sqlite")]
    let known = known.with(SqliteFactory);
    #[cfg(feature = "postgres")]
    let known = known.with(PostgresFactory);
    known
}

/// The data directory where none is configured.
const USUAL_DATA_DIR: &str = "pybit-data";

/// The configured data directory, made where it is not there yet.
pub fn data_dir(config: &Config) -> Result<DataDir> {
    DataDir::open(config.data_dir.as_deref().unwrap_or(Path::new(USUAL_DATA_DIR)))
}

/// Opens storage and transport, puts the configured suites into the catalogue, and makes a farm of it all.
pub async fn open_farm(config: &Config, dir: &DataDir) -> Result<Farm> {
    let storage = config.storage.clone().unwrap_or_else(|| Settings::url(dir.storage_url()));
    let storage = storages().open(&storage).await?;
    let transport = server_transport(config, storage.as_ref()).await?;
    pybit_web::seed(storage.as_ref(), &config.suites).await?;
    Ok(Farm::with_policy(
        storage,
        transport,
        formats(),
        Arc::new(SystemClock),
        config.policy.clone(),
    ))
}

/// Where the configured logs and files lie.
fn blobs(config: &Config, dir: &DataDir) -> Result<Blobs> {
    match &config.blobs {
        Some(settings) => Blobs::open(settings),
        None => Blobs::folder(&dir.blobs()),
    }
}

/// Makes the administrator's token at the first start, and returns it then.
pub(super) async fn admin_token(farm: &Farm, dir: &DataDir) -> Result<Option<Secret>> {
    let made = pybit_web::ensure_admin_token(farm.storage().as_ref(), &dir.admin_token()).await?;
    Ok(made.as_deref().map(Secret::new))
}

/// Makes the token of one of the farm's own parts, where its file is not there yet.
pub(super) async fn role_token(farm: &Farm, file: &Path, grant: &Grant) -> Result<()> {
    pybit_web::ensure_role_token(farm.storage().as_ref(), file, grant).await.map(drop)
}

/// Starts the server among `parts` and returns its address once it answers.
pub(super) async fn start_web(
    config: &Config,
    farm: Farm,
    dir: &DataDir,
    parts: &mut JoinSet<Result<()>>,
    shutdown: CancellationToken,
) -> Result<SocketAddr> {
    let (tell, told) = oneshot::channel();
    let stands_on = WebParts { farm, blobs: blobs(config, dir)? };
    parts.spawn(pybit_web::serve(config.web.clone(), stands_on, tell, shutdown));
    match told.await {
        Ok(address) => Ok(address),
        Err(_) => match parts.join_next().await {
            Some(Ok(Err(error))) => Err(error),
            _ => Err(Error::internal("the web server ended before it answered")),
        },
    }
}

/// Runs the web server until `shutdown`. The administrator's token is made at the first start and shown once, in the log.
pub async fn run_web(config: &Config, shutdown: CancellationToken) -> Result<()> {
    let dir = data_dir(config)?;
    let mut config = config.clone();
    config.web.repositories.get_or_insert_with(|| dir.repositories());
    let farm = open_farm(&config, &dir).await?;
    if admin_token(&farm, &dir).await?.is_some() {
        tracing::info!(file = %dir.admin_token().display(), "made the administrator's token; it is in this file");
    }
    let mut parts = JoinSet::new();
    let transport = Arc::clone(farm.transport());
    let address = start_web(&config, farm, &dir, &mut parts, shutdown).await?;
    dir.write_url(&format!("http://{address}"))?;
    tracing::info!(%address, "the web server is up");
    let ended = parts.join_next().await;
    transport.close().await;
    match ended {
        Some(ended) => {
            ended.map_err(|e| Error::internal("the web server panicked").with_source(e))?
        }
        None => Ok(()),
    }
}
