//! Which backends a program knows.

use pybit_core::settings::Registry;
use pybit_core::storage::Storage;
use pybit_core::transport::Transport;

use super::{storages, transports};

/// The storages and transports that a program can open by URL: those of pybit, and what an embedding program adds.
///
/// ```
/// use std::sync::Arc;
///
/// use pybit::core::settings::{Factory, Settings};
/// use pybit::core::memory::MemoryStorage;
/// use pybit::roles::{Backends, storages};
/// use pybit::{Result, Storage};
///
/// struct Ours;
///
/// #[async_trait::async_trait]
/// impl Factory<dyn Storage> for Ours {
///     fn schemes(&self) -> &'static [&'static str] {
///         &["ours"]
///     }
///
///     async fn open(&self, _: &Settings) -> Result<Arc<dyn Storage>> {
///         Ok(Arc::new(MemoryStorage::default()))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backends = Backends { storages: storages().with(Ours), ..Backends::default() };
/// // From here on `url = "ours:…"` may stand in [storage]: pass `backends` to `run_web`, `up::run` or `up::start`.
/// backends.storages.open(&Settings::url("ours:anything")).await.unwrap();
/// let unknown = backends.storages.open(&Settings::url("theirs:x")).await.unwrap_err();
/// assert!(unknown.message().contains("this program knows memory:, ours:"));
/// # });
/// ```
#[derive(Debug)]
pub struct Backends {
    /// By the scheme of `[storage] url`.
    pub storages: Registry<dyn Storage>,
    /// By the scheme of `[transport] url`.
    pub transports: Registry<dyn Transport>,
}

impl Default for Backends {
    fn default() -> Self {
        Self { storages: storages(), transports: transports() }
    }
}
