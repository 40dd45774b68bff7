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
//! | when a drop is complete, and what is refused | `drops` |

mod config;
mod dropped;
mod drops;
mod inotify;
mod rejected;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;

use pybit_client::api::Api;
use pybit_core::Result;
use pybit_core::model::RepositoryName;
use pybit_core::publish::Publisher;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use config::{DropConfig, RepositoryConfig, WatchConfig};
pub use dropped::{DebDrops, Drop, DropReader};

/// The repositories that this watcher publishes into.
pub type Publishers = BTreeMap<RepositoryName, Arc<dyn Publisher>>;

/// Watches until `shutdown`; a publication under way is finished first.
///
/// Fails at once where a repository cannot be prepared. Later failures are logged and tried again with growing pauses:
/// a server or a tool that is away costs time only.
pub async fn run(
    config: WatchConfig,
    publishers: Publishers,
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
    if let Some(url) = &config.url {
        let api = Api::new(url, Some(&config.secret()?))?;
        for repository in &config.repositories {
            let publisher = Arc::clone(&publishers[&repository.name]);
            let (api, stop) = (api.clone(), shutdown.clone());
            let uploads =
                uploads::Uploads::new(api, publisher, repository.clone(), config.work_dir.clone());
            tasks.spawn(async move { uploads.run(stop).await });
        }
    }
    for drop in &config.drops {
        let publisher = Arc::clone(&publishers[&drop.repository]);
        let drops =
            drops::Drops::new(drop.clone(), publisher, Arc::new(DebDrops), config.work_dir.clone());
        let stop = shutdown.clone();
        tasks.spawn(async move { drops.run(stop).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| {
            pybit_core::Error::internal("a part of the watcher panicked").with_source(e)
        })?;
    }
    Ok(())
}
