//! Farms in files of SQLite.

use std::path::Path;
use std::sync::Arc;

use pybit_backends::sql::SqliteFactory;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings::url(format!("sqlite://{}/farm.db", folder.display()))
}

pub(crate) async fn open(folder: &Path) -> Arc<dyn Storage> {
    let registry = Registry::<dyn Storage>::new("storage").with(SqliteFactory);
    registry.open(&settings(folder)).await.unwrap()
}
