//! Names of packages: the facts that this watcher asks the farm for, and the list that it sends to the farm.

use std::sync::Arc;

use async_trait::async_trait;
use pybit_client::api::Api;
use pybit_core::Result;
use pybit_core::model::{PackageName, RepositoryName};
use pybit_core::owners::{NameFacts, NamePolicy, NoPolicy};
use pybit_core::protocol::{NamesRequest, RepositoryPackages};
use pybit_core::publish::{Listed, Publisher};
use tokio::sync::Mutex;

use crate::config::{RepositoryConfig, WatchConfig};

/// The policy of one repository: what the farm says. Without a farm the repository stands alone: its own names are guarded, and those of a
/// base distribution are not known.
pub(crate) fn policy(
    config: &WatchConfig,
    repository: &RepositoryConfig,
) -> Result<Arc<dyn NamePolicy>> {
    let Some(url) = &config.url else { return Ok(Arc::new(NoPolicy)) };
    let api = Api::new(url, Some(&config.secret()?))?;
    Ok(Arc::new(FarmPolicy { api, repository: repository.name.clone() }))
}

/// Asks the farm. While it cannot be asked, nothing is published.
#[derive(Debug)]
struct FarmPolicy {
    api: Api,
    repository: RepositoryName,
}

#[async_trait]
impl NamePolicy for FarmPolicy {
    async fn facts(&self, source: &PackageName, binaries: &[String]) -> Result<NameFacts> {
        let request = NamesRequest { source: source.clone(), binaries: binaries.to_vec() };
        let asked = self.api.name_facts(&self.repository, &request).await;
        match asked.map_err(pybit_core::Error::from) {
            // A repository of this watcher alone, which only drop directories publish into.
            Err(error) if error.code() == "unknown_repository" => {
                NoPolicy.facts(source, binaries).await
            }
            answer => answer,
        }
    }
}

/// Tells the farm which packages a repository holds, so that it refuses early what the repository would.
#[derive(Debug)]
pub(crate) struct Teller {
    api: Api,
    repository: RepositoryName,
    publisher: Arc<dyn Publisher>,
    /// The list that the farm has.
    told: Mutex<Option<Vec<Listed>>>,
}

impl Teller {
    pub(crate) fn new(api: Api, repository: RepositoryName, publisher: Arc<dyn Publisher>) -> Self {
        Self { api, repository, publisher, told: Mutex::new(None) }
    }

    /// Tells the list whatever the farm had before.
    pub(crate) async fn tell_again(&self) -> Result<()> {
        *self.told.lock().await = None;
        self.tell().await
    }

    /// Tells the list where it has changed. Of a longer list than the farm keeps, the first packages by name are told.
    pub(crate) async fn tell(&self) -> Result<()> {
        let mut told = self.told.lock().await;
        let mut packages = self.publisher.list().await?;
        packages.sort();
        packages.dedup();
        if packages.len() > RepositoryPackages::MAX_PACKAGES {
            tracing::warn!(repository = %self.repository, packages = packages.len(), "the farm is told the first packages only");
            packages.truncate(RepositoryPackages::MAX_PACKAGES);
        }
        if told.as_ref() == Some(&packages) {
            return Ok(());
        }
        let list = RepositoryPackages { packages };
        self.api.put_repository_packages(&self.repository, &list).await?;
        *told = Some(list.packages);
        Ok(())
    }
}
