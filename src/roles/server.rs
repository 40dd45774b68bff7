//! The web server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pybit_backends::archive::ArchiveNames;
use pybit_backends::deb::DebUploads;
use pybit_backends::exec::{Exec, Supervisor};
#[cfg(feature = "postgres")]
use pybit_backends::sql::PostgresFactory;
#[cfg(feature = "sqlite")]
use pybit_backends::sql::SqliteFactory;
use pybit_client::Secret;
use pybit_core::base::BaseIndex;
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::memory::MemoryStorageFactory;
use pybit_core::model::Grant;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::upload::UploadReader;
use pybit_core::{Error, ErrorKind, Farm, Policy, Result};
use pybit_web::{Blobs, WebParts};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::builder::SUPERVISE;
use super::transport::server_transport;
use super::{Backends, DataDir, formats};
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
pub async fn open_farm(config: &Config, dir: &DataDir, backends: &Backends) -> Result<Farm> {
    let storage = config.storage.clone().unwrap_or_else(|| Settings::url(dir.storage_url()));
    let storage = backends.storages.open(&storage).await?;
    let transport = server_transport(config, backends, storage.as_ref()).await?;
    pybit_web::seed(storage.as_ref(), &config.suites, SystemClock.now()).await?;
    let farm =
        Farm::with_policy(storage, transport, formats(), Arc::new(SystemClock), policy(config));
    Ok(match names(config, dir)? {
        Some(names) => farm.with_base(names),
        None => farm,
    })
}

/// The index of the base distributions' names, where the configuration asks for one. Its archives are those of the roots.
fn names(config: &Config, dir: &DataDir) -> Result<Option<Arc<dyn BaseIndex>>> {
    if config.names.enabled != Some(true) {
        return Ok(None);
    }
    config.names.check()?;
    let mirror = config.client.readable().and_then(|client| client.sbuild.mirror.clone());
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
    Ok(Some(Arc::new(ArchiveNames::new(config.names.clone(), dir.names(), mirror, exec))))
}

/// The configured policy. What it leaves out: sources on this machine are for a farm that only this machine reaches, or
/// whose own build client is told so.
pub(super) fn policy(config: &Config) -> Policy {
    let told = config.client.readable().is_some_and(|client| client.allow_file);
    let mut policy = config.policy.clone();
    policy.file_sources.get_or_insert(told || config.web.is_private());
    policy
}

/// Failures of a database that may be there in a moment, by their codes; any other is the configuration's.
const PASSING: [&str; 3] = ["storage_unreachable", "storage_starting", "storage_full"];
/// The first pause before a database is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, before chance.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Opens the farm as soon as its database is there: after a power cut the server may be up first. Says once what it waits
/// for. `None` where it was told to end before.
async fn open_farm_in_time(
    config: &Config,
    dir: &DataDir,
    backends: &Backends,
    shutdown: &CancellationToken,
) -> Result<Option<Farm>> {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(opened) = shutdown.run_until_cancelled(open_farm(config, dir, backends)).await
        else {
            return Ok(None);
        };
        match opened {
            Err(error) if PASSING.contains(&error.code()) => {
                if pause == FIRST_PAUSE {
                    tracing::warn!("{error}; trying again until it is there");
                }
            }
            opened => return opened.map(Some),
        }
        let wait = pause.mul_f64(rand::random_range(1.0..2.0));
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where the configured logs and files lie; `folder` where none is configured. Nothing is asked of the store yet.
///
/// A scheme, key or value that is not known is refused with the configuration's file.
pub fn open_blobs(config: &Config, folder: &Path) -> Result<Blobs> {
    let Some(settings) = &config.blobs else { return Blobs::folder(folder) };
    Blobs::open(settings).map_err(|error| match (&config.file, error.kind()) {
        (Some(file), ErrorKind::Invalid | ErrorKind::Unsupported) => {
            let message = format!("{}, [blobs]: {}", file.display(), error.message());
            Error::new(error.kind(), message).with_code(error.code())
        }
        _ => error,
    })
}

/// Opens the blob store and tries it: one that cannot be used ends the start. A full one can still be read.
async fn working_blobs(config: &Config, dir: &DataDir) -> Result<Blobs> {
    let blobs = open_blobs(config, &dir.blobs())?;
    match blobs.check().await {
        Err(error) if error.kind() == ErrorKind::Full => tracing::warn!(%error, "the blob store"),
        tried => tried?,
    }
    Ok(blobs)
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
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
    let uploads: Arc<dyn UploadReader> = Arc::new(DebUploads::new(exec));
    let blobs = working_blobs(config, dir).await?;
    let stands_on = WebParts { farm, blobs, uploads: Some(uploads) };
    parts.spawn(pybit_web::serve(config.web.clone(), stands_on, tell, shutdown));
    match told.await {
        Ok(address) => Ok(address),
        Err(_) => match parts.join_next().await {
            Some(Ok(Err(error))) => Err(error),
            _ => Err(Error::internal("the web server ended before it answered")),
        },
    }
}

/// Runs the web server until `shutdown`; waits for a database server that is not there yet. The administrator's token is made at the
/// first start and shown once, in the log.
pub async fn run_web(
    config: &Config,
    backends: &Backends,
    shutdown: CancellationToken,
) -> Result<()> {
    pybit_web::raise_open_files();
    let dir = data_dir(config)?;
    let mut config = config.clone();
    config.web.repositories.get_or_insert_with(|| dir.repositories());
    let opened = open_farm_in_time(&config, &dir, backends, &shutdown).await?;
    let Some(farm) = opened else { return Ok(()) };
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
