//! The in-memory backends keep every promise of their traits.

use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::conformance::{Fixture, STORAGE, TRANSPORT, run};
use pybit_core::memory::{MemoryStorage, MemoryTransport};
use pybit_core::storage::Storage;
use pybit_core::transport::Transport;

struct InMemory;

#[async_trait]
impl Fixture<dyn Storage> for InMemory {
    async fn fresh(&self) -> Arc<dyn Storage> {
        Arc::new(MemoryStorage::default())
    }
}

#[async_trait]
impl Fixture<dyn Transport> for InMemory {
    async fn fresh(&self) -> Arc<dyn Transport> {
        Arc::new(MemoryTransport::default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storage_in_memory_conforms() {
    assert_eq!(run(STORAGE, &InMemory).await, STORAGE.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transport_in_memory_conforms() {
    assert_eq!(run(TRANSPORT, &InMemory).await, TRANSPORT.len(), "it is capable of everything");
}
