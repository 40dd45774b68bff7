//! Access tokens.

use async_trait::async_trait;

use super::{MemoryStorage, next_number};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{Token, TokenId};
use crate::storage::{AccountStore, NewToken};

#[async_trait]
impl AccountStore for MemoryStorage {
    async fn add_token(&self, new: &NewToken, at: Timestamp) -> Result<Token> {
        let mut state = self.state();
        if state.tokens.iter().any(|(_, sha256)| *sha256 == new.sha256) {
            return Err(Error::conflict("this token is already known").with_code("token_exists"));
        }
        let token = Token {
            id: TokenId(next_number(state.tokens.len())),
            name: new.name.clone(),
            grant: new.grant.clone(),
            created_at: at,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        state.tokens.push((token.clone(), new.sha256.clone()));
        Ok(token)
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        Ok(self.state().tokens.iter().map(|(token, _)| token.clone()).collect())
    }

    async fn token(&self, sha256: &str) -> Result<Option<Token>> {
        let state = self.state();
        Ok(state.tokens.iter().find(|(_, has)| has == sha256).map(|(token, _)| token.clone()))
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<bool> {
        let mut state = self.state();
        let Some((token, _)) = state.tokens.iter_mut().find(|(token, _)| token.id == id) else {
            return Ok(false);
        };
        token.revoked_at.get_or_insert(at);
        Ok(true)
    }

    async fn farm_id(&self, fresh: &str) -> Result<String> {
        Ok(self.state().farm_id.get_or_insert_with(|| fresh.to_owned()).clone())
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}
