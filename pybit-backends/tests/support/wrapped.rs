//! The suite of transports over the wrappers of the core, around a transport that leads somewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::conformance::Fixture;
use pybit_core::faults::{Faults, Faulty};
use pybit_core::traced::Traced;
use pybit_core::transport::Transport;

/// A wrapper around each transport of a fixture.
pub(crate) struct Wrapped<F> {
    inner: F,
    wrap: fn(Arc<dyn Transport>) -> Arc<dyn Transport>,
}

#[async_trait]
impl<F: Fixture<dyn Transport>> Fixture<dyn Transport> for Wrapped<F> {
    async fn fresh(&self) -> Arc<dyn Transport> {
        (self.wrap)(self.inner.fresh().await)
    }
}

/// Tells the log what goes over each.
pub(crate) fn traced<F>(inner: F) -> Wrapped<F> {
    Wrapped { inner, wrap: |inner| Arc::new(Traced::new(inner)) }
}

/// Delays and reorders the hints of each, which breaks no promise.
pub(crate) fn late_and_reordered<F>(inner: F) -> Wrapped<F> {
    let wrap = |inner| {
        // No longer than the waits that the suite gives up, each of which begins the pause anew.
        let pause = Duration::from_micros(50);
        let faults = Faults { seed: 11, reordered: 500, delayed: 300, pause, ..Faults::default() };
        Arc::new(Faulty::new(inner, faults)) as Arc<dyn Transport>
    };
    Wrapped { inner, wrap }
}
