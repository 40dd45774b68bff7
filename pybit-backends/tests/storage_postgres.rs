//! PostgreSQL keeps what the storage traits promise, and what several servers on one database promise besides.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pybit_core::conformance::{Fixture, STORAGE, run};
use pybit_core::storage::Storage;
use support::Database;

/// Keeps the databases until the last case is over.
#[derive(Default)]
struct Databases(Mutex<Vec<Database>>);

#[async_trait]
impl Fixture<dyn Storage> for Databases {
    async fn fresh(&self) -> Arc<dyn Storage> {
        let database = Database::fresh().await;
        let storage = database.open().await;
        self.0.lock().unwrap().push(database);
        storage
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn postgres_conforms() {
    assert_eq!(run(STORAGE, &Databases::default()).await, STORAGE.len());
}
