//! Access tokens, and the farm's own name.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{Grant, Token, TokenId};

/// A token to be kept: its secret's digest, never the secret.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret, hexadecimal.
    pub sha256: String,
    /// What it grants.
    pub grant: Grant,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Tokens, the farm's name, and whether the storage answers at all.
#[async_trait]
pub trait AccountStore: Send + Sync + std::fmt::Debug {
    /// Keeps a token.
    ///
    /// - `a_digest_is_kept_once`: one that is already there fails, `Conflict`.
    async fn add_token(&self, token: &NewToken, at: Timestamp) -> Result<Token>;

    /// All tokens, revoked ones too, by number.
    async fn tokens(&self) -> Result<Vec<Token>>;

    /// - `a_token_is_found_by_its_digest_alone`: the token with exactly this digest, revoked and expired ones too.
    async fn token(&self, sha256: &str) -> Result<Option<Token>>;

    /// Revokes a token; whether there is such a token.
    ///
    /// - `revoking_twice_keeps_the_first_time`: and says again that there is one.
    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<bool>;

    /// The farm's own name, by which brokers tell it from another farm: `fresh`, 32 random hexadecimal digits, where it has
    /// none yet, else the one that it got first.
    ///
    /// - `the_first_farm_id_stays`: also when several servers ask at once.
    async fn farm_id(&self, fresh: &str) -> Result<String>;

    /// Whether the storage answers.
    async fn health(&self) -> Result<()>;
}
