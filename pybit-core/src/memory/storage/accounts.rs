//! Access tokens and accounts.

use async_trait::async_trait;

use super::{AccountRow, MemoryStorage, TokenRow, next_number};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{Account, AccountName, PasswordHash, Token, TokenId};
use crate::storage::{AccountChange, AccountStore, NewAccount, NewToken};

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

    async fn add_account(&self, new: &NewAccount, at: Timestamp) -> Result<Account> {
        self.write(|state| {
            if state.accounts.contains_key(&new.name) {
                let message = format!("there is an account {} already", new.name);
                return Err(Error::conflict(message).with_code("account_exists"));
            }
            let account = Account {
                name: new.name.clone(),
                role: new.role,
                names: new.names.clone(),
                created_at: at,
                password_at: at,
                expires_at: new.expires_at,
                disabled_at: None,
            };
            let row = AccountRow { account: account.clone(), hash: new.hash.clone() };
            state.accounts.insert(new.name.clone(), row);
            Ok(account)
        })
        .await
    }

    async fn accounts(&self) -> Result<Vec<Account>> {
        Ok(self.read().await?.accounts.values().map(|row| row.account.clone()).collect())
    }

    async fn account(&self, name: &AccountName) -> Result<Option<(Account, PasswordHash)>> {
        let state = self.read().await?;
        Ok(state.accounts.get(name).map(|row| (row.account.clone(), row.hash.clone())))
    }

    async fn change_account(
        &self,
        name: &AccountName,
        change: &AccountChange,
        at: Timestamp,
    ) -> Result<bool> {
        self.write(|state| {
            let Some(row) = state.accounts.get_mut(name) else { return Ok(false) };
            match change {
                AccountChange::Password(hash) => {
                    row.hash = hash.clone();
                    row.account.password_at = at;
                }
                AccountChange::Rehash { from, .. } if row.hash != *from => return Ok(false),
                AccountChange::Rehash { to, .. } => row.hash = to.clone(),
                AccountChange::Disable => {
                    row.account.disabled_at.get_or_insert(at);
                }
                AccountChange::Enable => row.account.disabled_at = None,
            }
            Ok(true)
        })
        .await
    }

    async fn remove_account(&self, name: &AccountName) -> Result<bool> {
        self.write(|state| Ok(state.accounts.remove(name).is_some())).await
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
