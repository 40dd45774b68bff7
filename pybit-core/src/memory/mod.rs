//! Backends in memory: the reference for every other one, and the base of outside storages.
//!
//! [`MemoryStorage`] is written to be obviously right, not to be quick: its state is plain tables behind one lock, each
//! method checks everything before it writes anything, so that a refusal leaves no trace. Over [`Rows`], which a backend
//! brings, the same state outlives the process. [`MemoryTransport`] carries hints between the roles of one process, as
//! `pybit up` runs them.

mod rows;
mod storage;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;

pub use rows::{Rows, Write};
pub use storage::MemoryStorage;
pub use transport::MemoryTransport;

use crate::error::{Error, Result};
use crate::settings::{Factory, Settings};
use crate::storage::Storage;
use crate::transport::Transport;

/// Opens [`MemoryStorage`] for `memory:`; each opening is a farm of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryStorageFactory;

/// Opens [`MemoryTransport`] for `memory:`; each opening is a transport of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryTransportFactory;

const SCHEMES: &[&str] = &["memory"];

#[async_trait]
impl Factory<dyn Storage> for MemoryStorageFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Storage>> {
        check(settings)?;
        Ok(Arc::new(MemoryStorage::default()))
    }
}

#[async_trait]
impl Factory<dyn Transport> for MemoryTransportFactory {
    fn schemes(&self) -> &'static [&'static str] {
        SCHEMES
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Transport>> {
        check(settings)?;
        Ok(Arc::new(MemoryTransport::default()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Refuses what would have no effect: a path, unknown keys.
fn check(settings: &Settings) -> Result<()> {
    let NoOptions {} = settings.options()?;
    if settings.url == "memory:" {
        return Ok(());
    }
    let message = format!("{} has nothing to name; write memory:", settings.shown());
    Err(Error::invalid(message).with_code("invalid_configuration"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Registry;

    #[test]
    fn a_path_or_an_unknown_key_is_refused() {
        check(&Settings::url("memory:")).unwrap();
        assert!(check(&Settings::url("memory:farm")).is_err());
        let mut settings = Settings::url("memory:");
        settings.options.insert("size".to_owned(), 1.into());
        assert!(check(&settings).unwrap_err().message().contains("size"));
    }

    #[tokio::test]
    async fn each_opening_is_a_farm_of_its_own() {
        let registry = Registry::<dyn Storage>::new("storage").with(MemoryStorageFactory);
        let (one, other) = (
            registry.open(&Settings::url("memory:")).await.unwrap(),
            registry.open(&Settings::url("memory:")).await.unwrap(),
        );
        one.new_upload("alice", &[], crate::clock::Timestamp::from_micros(1)).await.unwrap();
        assert!(other.upload(crate::model::UploadId(1)).await.unwrap().is_none());
    }
}
