//! That something changed, told to who waits in this process and, where the engine can, in others.

use std::sync::Arc;

use pybit_core::storage::Changes;
use tokio::sync::watch;

/// The changes that a handle has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// Whoever made them.
    seen: Arc<watch::Sender<Changes>>,
    /// Those made through this handle: what other processes are still to be told.
    own: Arc<watch::Sender<Changes>>,
}

impl News {
    /// A change through this handle has taken effect; `count` says whether anybody may be waiting for it.
    pub(super) fn made(&self, count: impl Fn(&mut Changes) -> bool) {
        if self.seen.send_if_modified(&count) {
            self.own.send_if_modified(&count);
        }
    }

    /// What is told to who waits in this process.
    pub(super) fn seen(&self) -> &Arc<watch::Sender<Changes>> {
        &self.seen
    }

    /// Moves with every change through this handle, and ends with the last clone of it.
    #[cfg(feature = "postgres")]
    pub(super) fn own(&self) -> watch::Receiver<Changes> {
        self.own.subscribe()
    }
}
