//! Access tokens.

use async_trait::async_trait;

use super::{MemoryStorage, TokenRow, next_number};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{Token, TokenId};
use crate::storage::{AccountStore, NewToken};

#[async_trait]
impl AccountStore for MemoryStorage {
    async fn add_token(&self, new: &NewToken, at: Timestamp) -> Result<Token> {
        self.write(|state| {
            if state.tokens.values().any(|row| row.sha256 == new.sha256) {
                return Err(
                    Error::conflict("this token is already known").with_code("token_exists")
                );
            }
            let token = Token {
                id: TokenId(next_number(state.tokens.len())),
                name: new.name.clone(),
                grant: new.grant.clone(),
                created_at: at,
                expires_at: new.expires_at,
                revoked_at: None,
            };
            let row = TokenRow { token: token.clone(), sha256: new.sha256.clone() };
            state.tokens.insert(token.id, row);
            Ok(token)
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        Ok(self.read().await?.tokens.values().map(|row| row.token.clone()).collect())
    }

    async fn token(&self, sha256: &str) -> Result<Option<Token>> {
        let state = self.read().await?;
        let row = state.tokens.values().find(|row| row.sha256 == sha256);
        Ok(row.map(|row| row.token.clone()))
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<bool> {
        self.write(|state| {
            let Some(row) = state.tokens.get_mut(&id) else { return Ok(false) };
            row.token.revoked_at.get_or_insert(at);
            Ok(true)
        })
        .await
    }

    async fn farm_id(&self, fresh: &str) -> Result<String> {
        self.write(|state| {
            if let Some(first) = state.farm_id.one() {
                return Ok(first);
            }
            state.farm_id.set(fresh.to_owned());
            Ok(fresh.to_owned())
        })
        .await
    }

    async fn health(&self) -> Result<()> {
        match &self.rows {
            Some(rows) => rows.health().await,
            None => Ok(()),
        }
    }
}
