//! The watcher of a pybit farm: brings finished results and complete drops into repositories.
//!
//! Work comes two ways and goes one way from there:
//!
//! ```text
//! farm (API, woken by a held request) ─► uploads ─┐
//!                                                  ├─► Publisher, one at a time for each repository
//! drop directory (inotify, and a rescan) ─► drops ─┘
//! ```
//!
//! | to know | open |
//! |---|---|
//! | how it is configured | [`WatchConfig`] |
//! | how a result of the farm is published and reported | `uploads` |
//! | how a removal, or a roll-over of the key, that an operator ordered is carried out | `orders` |
//! | when a drop is complete, and what is refused | `drops` |
//! | whose drops are taken | `signed` |
//! | what is known about the names of packages | `names` |
//! | how a drop of source alone is built | `submitted` |
//! | how a repository names itself | `identity` |
//! | how keys and indices are renewed | `tending` |

mod config;
mod dropped;
mod drops;
mod identity;
mod inotify;
mod names;
mod orders;
mod rejected;
mod signed;
mod submitted;
mod tending;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pybit_client::api::Api;
use pybit_core::model::{Health, RepositoryName};
use pybit_core::owners::NoPolicy;
use pybit_core::publish::Publisher;
use pybit_core::upload::UploadReader;
use pybit_core::{Error, Result};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use names::Teller;
use orders::Orders;
use signed::Signatures;
use submitted::Submits;
use tending::Tending;
use uploads::Uploads;

pub use config::{DropConfig, DropNames, RepositoryConfig, WatchConfig};
pub use dropped::{DebDrops, Drop, DropReader};

/// The repositories that this watcher publishes into.
pub type Publishers = BTreeMap<RepositoryName, Arc<dyn Publisher>>;

/// Watches until `shutdown`; a publication under way is finished first.
///
/// `uploads` verifies the drops of directories that have a keyring; without such it is not needed.
///
/// Fails at once where a repository cannot be prepared. Later failures are logged and tried again with growing pauses:
/// a server or a tool that is away costs time only.
pub async fn run(
    config: WatchConfig,
    publishers: Publishers,
    uploads: Option<Arc<dyn UploadReader>>,
    shutdown: CancellationToken,
) -> Result<()> {
    config.check(&publishers)?;
    std::fs::create_dir_all(&config.work_dir)
        .map_err(|e| config::cannot_make(&config.work_dir, &e))?;
    for (name, publisher) in &publishers {
        publisher.prepare().await?;
        tracing::info!(repository = %name, "the repository is ready");
    }
    let mut tasks = JoinSet::new();
    let mut health = BTreeMap::new();
    for (name, publisher) in &publishers {
        let tending = tending(&config, name, publisher);
        health.insert(name.clone(), (tending.health.subscribe(), Arc::clone(&tending.wake)));
        let stop = shutdown.clone();
        tasks.spawn(async move { tending.run(stop).await });
    }
    let mut tellers = BTreeMap::new();
    if let Some(url) = &config.url {
        let api = Api::new(url, Some(&config.secret()?))?;
        for repository in &config.repositories {
            let publisher = Arc::clone(&publishers[&repository.name]);
            let teller = Teller::new(api.clone(), repository.name.clone(), Arc::clone(&publisher));
            let teller = Arc::new(teller);
            tellers.insert(repository.name.clone(), Arc::clone(&teller));
            let health = health[&repository.name].clone();
            let (orders, results) =
                of_the_farm(&config, repository, &api, publisher, teller, health)?;
            let (stop, also_stop) = (shutdown.clone(), shutdown.clone());
            tasks.spawn(async move { orders.run(also_stop).await });
            tasks.spawn(async move { results.run(stop).await });
        }
    }
    for drop in &config.drops {
        let publisher = Arc::clone(&publishers[&drop.repository]);
        let repository = config.repositories.iter().find(|r| r.name == drop.repository);
        let names = repository.map(|r| names::policy(&config, r)).transpose()?;
        let teller = tellers.get(&drop.repository).cloned();
        let signatures = signatures(&config, drop, uploads.as_ref())?;
        let drops = drops::Drops::new(
            drop.clone(),
            publisher,
            (names.unwrap_or_else(|| Arc::new(NoPolicy)), teller),
            Arc::new(DebDrops),
            signatures,
            submits(&config, drop)?,
            config.work_dir.clone(),
        );
        let stop = shutdown.clone();
        tasks.spawn(async move { drops.run(stop).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| Error::internal("a part of the watcher panicked").with_source(e))?;
    }
    Ok(())
}

/// The tasks that carry out a farm's orders to one repository, and that publish its results.
fn of_the_farm(
    config: &WatchConfig,
    repository: &RepositoryConfig,
    api: &Api,
    publisher: Arc<dyn Publisher>,
    teller: Arc<Teller>,
    (health, tend): (watch::Receiver<Health>, Arc<Notify>),
) -> Result<(Orders, Uploads)> {
    let turn = Arc::new(Mutex::new(()));
    let orders = Orders::new(
        api.clone(),
        Arc::clone(&publisher),
        repository.name.clone(),
        Arc::clone(&turn),
        Arc::clone(&teller),
        tend,
    );
    let names = (names::policy(config, repository)?, teller);
    let (repository, dir) = (repository.clone(), config.work_dir.clone());
    let results = Uploads::new(api.clone(), publisher, names, repository, dir, health, turn);
    Ok((orders, results))
}

fn tending(config: &WatchConfig, name: &RepositoryName, publisher: &Arc<dyn Publisher>) -> Tending {
    let interval = config.tend_secs.map_or(tending::INTERVAL, |s| Duration::from_secs(s.max(1)));
    let (name, publisher) = (name.clone(), Arc::clone(publisher));
    let (wake, health) = (Arc::default(), watch::Sender::default());
    Tending { name, publisher, interval, wake, health }
}

/// The signatures that a drop directory asks for; none where it has no keyring.
fn signatures(
    config: &WatchConfig,
    drop: &DropConfig,
    uploads: Option<&Arc<dyn UploadReader>>,
) -> Result<Option<Signatures>> {
    let Some(keyring) = &drop.keyring else { return Ok(None) };
    let repository = config.repositories.iter().find(|r| r.name == drop.repository);
    let (Some(reader), Some(repository)) = (uploads, repository) else {
        let message =
            format!("{} has a keyring, and this program verifies no uploads", drop.dir.display());
        return Err(Error::invalid(message).with_code("invalid_configuration"));
    };
    let suite = repository.suite.clone();
    Signatures::new(Arc::clone(reader), keyring.clone(), suite).map(Some)
}

/// How source-only uploads of a drop directory are built; not at all where they are published.
fn submits(config: &WatchConfig, drop: &DropConfig) -> Result<Option<Submits>> {
    let repository = config.repositories.iter().find(|r| r.name == drop.repository);
    match (&config.url, &config.submit_token_file, repository) {
        (Some(url), Some(token), Some(repository)) if config.builds(drop) => {
            Submits::new(url, token, repository).map(Some)
        }
        _ => Ok(None),
    }
}
