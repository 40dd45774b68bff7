//! Farms in files of SQLite.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pybit_backends::sql::SqliteFactory;
use pybit_core::conformance::Fixture;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings::url(format!("sqlite://{}/farm.db", folder.display()))
}

pub(crate) async fn open(folder: &Path) -> Arc<dyn Storage> {
    let registry = Registry::<dyn Storage>::new("storage").with(SqliteFactory);
    registry.open(&settings(folder)).await.unwrap()
}

/// A new one for each case; keeps the folders until the last case is over.
#[derive(Default)]
pub(crate) struct Files(Mutex<Vec<tempfile::TempDir>>);

#[async_trait]
impl Fixture<dyn Storage> for Files {
    async fn fresh(&self) -> Arc<dyn Storage> {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path()).await;
        self.0.lock().unwrap().push(folder);
        storage
    }
}
