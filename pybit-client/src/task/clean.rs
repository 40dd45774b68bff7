//! Leaving nothing behind.

use std::time::Duration;

use pybit_core::build::Prepared;
use pybit_core::{Error, ErrorKind, Result};

use super::{Work, blocking};
use crate::backoff::Backoff;
use crate::machine::Event;

/// An environment that is not gone by then never goes by itself.
const PATIENCE: Duration = Duration::from_mins(2);

async fn destroy(environment: &dyn Prepared) -> Result<()> {
    let destroyed = tokio::time::timeout(PATIENCE, environment.destroy()).await;
    destroyed.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Unavailable, "the environment cannot be destroyed in time"))
    })
}

impl Work {
    /// Destroys the environment and removes what the build has seen; log and journal stay until the server was told.
    pub(super) async fn clean(&self) -> Event {
        match self.try_clean().await {
            Ok(()) => Event::Cleaned,
            Err(e) => {
                let place = self.dir.path().display();
                tracing::error!(%place, "something of a build is left, its slot is not used again: {e}");
                Event::CleanFailed
            }
        }
    }

    async fn try_clean(&self) -> Result<()> {
        let environment = self.found().environment.clone();
        if let Some(environment) = environment {
            destroy(environment.as_ref()).await?;
            self.found().environment = None;
        }
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        // What was dropped half-way may still be dying, and write while it is removed.
        while backoff.tries() < 5 && self.remove_work().await.is_err() {
            backoff.wait().await;
        }
        match self.remove_work().await {
            Ok(()) => Ok(()),
            // Files of other user ids, left by a process that was killed: only their environment can remove them.
            Err(_) if self.dir.work().exists() => self.clean_by_environment().await,
            Err(e) => Err(e),
        }
    }

    async fn clean_by_environment(&self) -> Result<()> {
        let target = self.target();
        let environment = self.shop.toolbox.environment(&target.env)?;
        let prepared = environment.prepare(&target, &self.dir.work(), self.spool.as_ref()).await?;
        destroy(prepared.as_ref()).await?;
        self.remove_work().await
    }

    async fn remove_work(&self) -> Result<()> {
        let dir = self.dir.clone();
        blocking(move || dir.remove_work()).await
    }

    /// Removes log and journal.
    pub(super) async fn forget(&self) {
        let dir = self.dir.clone();
        if let Err(e) = blocking(move || dir.remove()).await {
            tracing::error!("a finished job's directory is left: {e}");
        }
    }
}
