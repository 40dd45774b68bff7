//! The keys that sign a repository.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A key that signs a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// Its fingerprint, in hexadecimal digits.
    pub fingerprint: String,
    /// When it expires; never, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub expires_at: Option<Timestamp>,
    /// When it stops signing, because a roll-over to the key after it is under way; absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub signs_until: Option<Timestamp>,
}

impl SigningKey {
    /// The most keys of one repository: the current one, and one that it replaces.
    pub const MAX_KEYS: usize = 2;

    /// Refuses, `Invalid`, more keys than a repository has, and fingerprints that are none.
    pub fn check(keys: &[Self]) -> Result<()> {
        let is_fingerprint = |text: &str| {
            matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if keys.len() > Self::MAX_KEYS {
            let message = format!("a repository has at most {} signing keys", Self::MAX_KEYS);
            return Err(Error::invalid(message).with_code("invalid_keys"));
        }
        match keys.iter().find(|key| !is_fingerprint(&key.fingerprint)) {
            None => Ok(()),
            Some(key) => {
                let message = format!("{:?} is no fingerprint of a key", key.fingerprint);
                Err(Error::invalid(message).with_code("invalid_keys"))
            }
        }
    }
}
