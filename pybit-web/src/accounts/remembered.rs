//! Passwords that were right a moment ago: a hook that is called often is hashed once.
//!
//! Kept is a digest with a key of this process, of the password together with what the storage keeps of it: once that is
//! another, nothing here fits it any more.

use std::collections::HashMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use pybit_core::model::{AccountName, PasswordHash};
use sha2::Sha256;
use tokio::time::Instant;

/// How long a password is not hashed again.
const FRESH: Duration = Duration::from_mins(1);
/// Passwords that are remembered at most.
const MOST: usize = 1000;

/// What was right, and when.
pub(super) struct Remembered {
    key: [u8; 32],
    proved: HashMap<[u8; 32], Instant>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { key: rand::random(), proved: HashMap::new() }
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered").field("proved", &self.proved.len()).finish_non_exhaustive()
    }
}

impl Remembered {
    pub(super) fn add(
        &mut self,
        name: &AccountName,
        kept: &PasswordHash,
        password: &str,
        now: Instant,
    ) {
        if self.proved.len() >= MOST {
            self.proved.clear();
        }
        self.proved.retain(|_, since| now.duration_since(*since) < FRESH);
        if let Some(digest) = self.digest(name, kept, password) {
            self.proved.insert(digest, now);
        }
    }

    pub(super) fn knows(
        &self,
        name: &AccountName,
        kept: &PasswordHash,
        password: &str,
        now: Instant,
    ) -> bool {
        let digest = self.digest(name, kept, password);
        let since = digest.and_then(|digest| self.proved.get(&digest));
        since.is_some_and(|since| now.duration_since(*since) < FRESH)
    }

    fn digest(&self, name: &AccountName, kept: &PasswordHash, password: &str) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        for part in [name.as_str(), kept.expose(), password] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_was_right_is_known_for_a_minute() {
        let (ann, bob): (AccountName, AccountName) =
            ("ann".parse().unwrap(), "bob".parse().unwrap());
        let (old, new): (PasswordHash, PasswordHash) =
            ("$1".parse().unwrap(), "$2".parse().unwrap());
        let (mut remembered, now) = (Remembered::default(), Instant::now());
        assert!(!remembered.knows(&ann, &old, "correct horse", now));
        remembered.add(&ann, &old, "correct horse", now);
        assert!(remembered.knows(&ann, &old, "correct horse", now + FRESH / 2));
        assert!(!remembered.knows(&ann, &old, "correct horse", now + FRESH), "it is a while ago");
        assert!(!remembered.knows(&ann, &new, "correct horse", now), "another password was set");
        assert!(!remembered.knows(&bob, &old, "correct horse", now));
        assert!(!remembered.knows(&ann, &old, "wrong horse", now));
        assert!(!format!("{remembered:?}").contains("key"));
    }
}
