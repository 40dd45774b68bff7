//! The web server.

use std::path::Path;
use std::sync::Arc;

use pybit_backends::deb::DebFormat;
use pybit_backends::sql::SqliteFactory;
use pybit_core::clock::SystemClock;
use pybit_core::format::PackageFormat;
use pybit_core::memory::{MemoryStorageFactory, MemoryTransportFactory};
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::transport::Transport;
use pybit_core::{Farm, Result};

use super::DataDir;
use crate::config::Config;

/// The storages that this program knows, by URL scheme.
pub fn storages() -> Registry<dyn Storage> {
    Registry::new("storage").with(MemoryStorageFactory).with(SqliteFactory)
}

/// The transports that this program knows, by URL scheme.
pub fn transports() -> Registry<dyn Transport> {
    Registry::new("transport").with(MemoryTransportFactory)
}

/// The data directory where none is configured.
pub const USUAL_DATA_DIR: &str = "pybit-data";

/// The configured data directory, made where it is not there yet.
pub fn data_dir(config: &Config) -> Result<DataDir> {
    DataDir::open(config.data_dir.as_deref().unwrap_or(Path::new(USUAL_DATA_DIR)))
}

/// Opens storage and transport, puts the configured suites into the catalogue, and makes a farm of it all.
pub async fn open_farm(config: &Config, dir: &DataDir) -> Result<Farm> {
    let storage = config.storage.clone().unwrap_or_else(|| Settings::url(dir.storage_url()));
    let transport = config.transport.clone().unwrap_or_else(|| Settings::url("memory:"));
    let storage = storages().open(&storage).await?;
    let transport = transports().open(&transport).await?;
    pybit_web::config::seed(storage.as_ref(), &config.suites).await?;
    let formats: [Arc<dyn PackageFormat>; 1] = [Arc::new(DebFormat::new())];
    Ok(Farm::with_policy(storage, transport, formats, Arc::new(SystemClock), config.policy.clone()))
}
