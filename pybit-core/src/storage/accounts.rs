//! Access tokens.

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

/// Tokens, and whether the storage answers at all.
#[async_trait]
pub trait AccountStore: Send + Sync + std::fmt::Debug {
    /// Keeps a token; a digest that is already there fails, `Conflict`.
    async fn add_token(&self, token: &NewToken, at: Timestamp) -> Result<Token>;

    /// All tokens, revoked ones too, by number.
    async fn tokens(&self) -> Result<Vec<Token>>;

    /// - `a_token_is_found_by_its_digest_alone`: the token with exactly this digest, revoked and expired ones too.
    async fn token(&self, sha256: &str) -> Result<Option<Token>>;

    /// Revokes a token; whether there was one to revoke. Revoking twice keeps the first time.
    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<bool>;

    /// Whether the storage answers.
    async fn health(&self) -> Result<()>;
}
