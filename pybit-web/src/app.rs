//! What every handler and background loop of one server shares.

use std::sync::Arc;

use pybit_core::Farm;
use pybit_core::upload::UploadReader;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::api::farm::Away;
use crate::blobs::Blobs;
use crate::config::WebConfig;
use crate::dput::Dput;
use crate::hooks::Hooks;
use crate::known::KnownTokens;
use crate::metrics::Metrics;
use crate::streams::{Completions, LogHub};

/// One server: the farm, where bytes lie, and what only this process knows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AppState {
    /// The use cases.
    pub(crate) farm: Farm,
    /// Stored bytes.
    pub(crate) blobs: Blobs,
    /// Wakes whoever follows a log that grows on this server.
    pub(crate) logs: LogHub,
    /// Files that are being made whole.
    pub(crate) completions: Completions,
    /// Tokens that were shown lately.
    pub(crate) tokens: KnownTokens,
    /// What is known of accounts' passwords.
    pub(crate) accounts: Accounts,
    /// Counted for `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
    /// Hooks that tell of pushes.
    pub(crate) hooks: Arc<Hooks>,
    /// Uploads of `dput`.
    pub(crate) dput: Arc<Dput>,
    /// What `/readyz` found not to work.
    pub(crate) away: Arc<Away>,
    /// The `[web]` table.
    pub(crate) config: Arc<WebConfig>,
    /// One permit for each log that may be followed at once.
    pub(crate) followers: Arc<Semaphore>,
    /// Cancelled when the server stops: held requests and followed logs end.
    pub(crate) stopping: CancellationToken,
}

impl AppState {
    pub(crate) fn new(
        farm: Farm,
        blobs: Blobs,
        uploads: Option<Arc<dyn UploadReader>>,
        config: WebConfig,
        stopping: CancellationToken,
    ) -> pybit_core::Result<Self> {
        let hooks = Arc::new(Hooks::open(&config.hooks)?);
        let dput = Arc::new(Dput::open(&config.dput, uploads)?);
        let followers = Arc::new(Semaphore::new(config.most_followers));
        Ok(Self {
            farm,
            blobs,
            hooks,
            dput,
            logs: LogHub::default(),
            completions: Completions::default(),
            tokens: KnownTokens::default(),
            accounts: Accounts::default(),
            metrics: Arc::default(),
            away: Arc::default(),
            config: Arc::new(config),
            followers,
            stopping,
        })
    }
}
