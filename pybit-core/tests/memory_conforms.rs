//! The in-memory backends keep every promise of their traits.

use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::conformance::{Fixture, STORAGE, TRANSPORT, run};
use pybit_core::faults::{Faults, Faulty};
use pybit_core::memory::{MemoryStorage, MemoryTransport};
use pybit_core::storage::Storage;
use pybit_core::traced::Traced;
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

/// A wrapper around a transport in memory.
struct Wrapped(fn(Arc<dyn Transport>) -> Arc<dyn Transport>);

#[async_trait]
impl Fixture<dyn Transport> for Wrapped {
    async fn fresh(&self) -> Arc<dyn Transport> {
        (self.0)(Arc::new(MemoryTransport::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_traced_transport_conforms() {
    let traced = Wrapped(|inner| Arc::new(Traced::new(inner)));
    assert_eq!(run(TRANSPORT, &traced).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn delayed_and_reordered_hints_break_no_promise() {
    let faulty = Wrapped(|inner| {
        // No longer than the waits that the suite gives up, each of which begins the pause anew.
        let pause = std::time::Duration::from_micros(50);
        let faults = Faults { seed: 11, reordered: 500, delayed: 300, pause, ..Faults::default() };
        Arc::new(Faulty::new(inner, faults))
    });
    assert_eq!(run(TRANSPORT, &faulty).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storage_in_memory_conforms() {
    assert_eq!(run(STORAGE, &InMemory).await, STORAGE.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transport_in_memory_conforms() {
    assert_eq!(run(TRANSPORT, &InMemory).await, TRANSPORT.len(), "it is capable of everything");
}
