//! Tokens that were shown lately: a client shows its own with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pybit_core::Result;
use pybit_core::model::Token;
use pybit_core::storage::Storage;
use tokio::time::Instant;

/// How long the storage is not asked again. A token that another server revoked works here for so long.
const FRESH: Duration = Duration::from_secs(1);
/// Tokens that are remembered at most.
const MOST: usize = 10_000;

/// Tokens by their SHA-256; one that is unknown is asked for each time. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownTokens(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    tokens: HashMap<String, (Instant, Token)>,
    /// Counts revocations, so that what was read before one is not kept after it.
    revoked: u64,
}

impl KnownTokens {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token with this SHA-256, whether it works or not.
    pub(crate) async fn find(&self, storage: &dyn Storage, sha256: &str) -> Result<Option<Token>> {
        let revoked = {
            let known = self.known();
            if let Some((since, token)) = known.tokens.get(sha256)
                && since.elapsed() < FRESH
            {
                return Ok(Some(token.clone()));
            }
            known.revoked
        };
        let asked = Instant::now();
        let found = storage.token(sha256).await?;
        let mut known = self.known();
        if known.tokens.len() >= MOST {
            known.tokens.clear();
        }
        if let Some(token) = found.as_ref().filter(|_| known.revoked == revoked) {
            known.tokens.insert(sha256.to_owned(), (asked, token.clone()));
        }
        Ok(found)
    }

    /// A token was revoked on this server: from now on it works nowhere here.
    pub(crate) fn forget(&self) {
        let mut known = self.known();
        known.revoked += 1;
        known.tokens.clear();
    }
}
