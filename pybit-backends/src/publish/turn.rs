//! One publication into a repository at a time.

use std::fs::File;
use std::sync::Arc;

use pybit_core::Result;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::files;
use super::layout::Layout;

/// The turns of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<()>>);

/// The one publication at a time: of this process, then of the machine.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    _held: Arc<(OwnedMutexGuard<()>, File)>,
}

impl Turns {
    /// Waits for the turn, and throws away what a killed publication has left.
    pub(super) async fn take(&self, layout: &Layout) -> Result<Turn> {
        let here = Arc::clone(&self.0).lock_owned().await;
        let layout = layout.clone();
        files::blocking(move || {
            let machine = layout.lock()?;
            layout.discard_work()?;
            Ok(Turn { _held: Arc::new((here, machine)) })
        })
        .await
    }
}

impl Turn {
    /// Runs blocking work that holds the turn to its own end: a caller that gives up does not let the next one in
    /// while its commit is under way.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.clone();
        files::blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
    }
}
