//! The web server.

use std::sync::Arc;

use pybit_backends::deb::DebFormat;
use pybit_backends::sql::SqliteFactory;
use pybit_core::clock::SystemClock;
use pybit_core::format::PackageFormat;
use pybit_core::memory::{MemoryStorageFactory, MemoryTransportFactory};
use pybit_core::model::{Repository, Target, WeightedTarget};
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::transport::Transport;
use pybit_core::{Farm, Result};
use pybit_web::config::SuiteConfig;

use crate::config::Config;

/// The storages that this program knows, by URL scheme.
pub fn storages() -> Registry<dyn Storage> {
    Registry::new("storage").with(MemoryStorageFactory).with(SqliteFactory)
}

/// The transports that this program knows, by URL scheme.
pub fn transports() -> Registry<dyn Transport> {
    Registry::new("transport").with(MemoryTransportFactory)
}

/// Opens storage and transport, puts the configured suites into the catalogue, and makes a farm of it all.
pub async fn open_farm(config: &Config, storage: &Settings) -> Result<Farm> {
    let storage = storages().open(storage).await?;
    let memory = Settings::url("memory:");
    let transport = transports().open(config.transport.as_ref().unwrap_or(&memory)).await?;
    seed(storage.as_ref(), &config.suites).await?;
    let formats: [Arc<dyn PackageFormat>; 1] = [Arc::new(DebFormat::new())];
    Ok(Farm::with_policy(storage, transport, formats, Arc::new(SystemClock), config.policy.clone()))
}

/// Puts the suites into the catalogue; what is there already is changed to what they say, nothing is taken away.
async fn seed(storage: &dyn Storage, suites: &[SuiteConfig]) -> Result<()> {
    for suite in suites {
        for target in targets(suite) {
            storage.put_target(&target).await?;
        }
        if let Some(name) = &suite.repository {
            let repository = Repository {
                name: name.clone(),
                dist: suite.dist.clone(),
                suite: suite.name.clone(),
                format: suite.format.clone(),
                url: None,
                public_key: None,
            };
            storage.put_repository(&repository).await?;
        }
    }
    Ok(())
}

fn targets(suite: &SuiteConfig) -> impl Iterator<Item = WeightedTarget> {
    let pairs = suite.arches.iter().flat_map(|arch| suite.envs.iter().map(move |env| (arch, env)));
    pairs.map(|(arch, env)| {
        let target = Target {
            dist: suite.dist.clone(),
            suite: suite.name.clone(),
            arch: arch.clone(),
            format: suite.format.clone(),
            env: env.name.clone(),
        };
        WeightedTarget { target, weight: env.weight }
    })
}
