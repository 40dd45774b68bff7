//! Access tokens and accounts.

use async_trait::async_trait;
use pybit_core::clock::Timestamp;
use pybit_core::model::{Account, AccountName, ClientName, Grant, PasswordHash, Token, TokenId};
use pybit_core::storage::{AccountChange, AccountStore, NewAccount, NewToken};
use pybit_core::{Error, ErrorKind, Result};

use super::call::json;
use super::{Call, Cells, Dialect, SqlStore, commit, statements as sql};

#[async_trait]
impl<D: Dialect> AccountStore for SqlStore<D> {
    async fn add_token(&self, new: &NewToken, at: Timestamp) -> Result<Token> {
        self.again(|| async {
            let mut transaction = self.begin().await?;
            let added = Call::<D>::new(&sql::TOKEN_ADD)
                .text(&new.name)
                .text(&new.sha256)
                .text(new.grant.role.as_str())
                .maybe_text(new.grant.client.as_ref().map(ClientName::as_str))
                .at(at)
                .maybe_at(new.expires_at)
                .text(&json(&new.grant.names)?)
                .one(&mut transaction, token)
                .await;
            let added = added.map_err(|e| match e.kind() {
                ErrorKind::Conflict => Error::conflict("this token is already known")
                    .with_code("token_exists")
                    .with_op("token_add"),
                _ => e,
            })?;
            commit(transaction).await?;
            Ok(added)
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        self.again(|| self.all(Call::<D>::new(&sql::TOKENS), token)).await
    }

    async fn token(&self, sha256: &str) -> Result<Option<Token>> {
        self.again(|| self.first(Call::<D>::new(&sql::TOKEN_BY_DIGEST).text(sha256), token)).await
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<bool> {
        self.again(|| async {
            let mut transaction = self.begin().await?;
            let revoked =
                Call::<D>::new(&sql::TOKEN_REVOKE).int(id.0).at(at).run(&mut transaction).await?;
            commit(transaction).await?;
            Ok(revoked > 0)
        })
        .await
    }

    async fn add_account(&self, new: &NewAccount, at: Timestamp) -> Result<Account> {
        self.again(|| async {
            let mut transaction = self.begin().await?;
            let added = Call::<D>::new(&sql::ACCOUNT_ADD)
                .text(new.name.as_str())
                .text(new.role.as_str())
                .text(new.hash.expose())
                .at(at)
                .maybe_at(new.expires_at)
                .text(&json(&new.names)?)
                .one(&mut transaction, account)
                .await;
            let added = added.map_err(|e| match e.kind() {
                ErrorKind::Conflict => {
                    Error::conflict(format!("there is an account {} already", new.name))
                        .with_code("account_exists")
                        .with_op("account_add")
                }
                _ => e,
            })?;
            commit(transaction).await?;
            Ok(added)
        })
        .await
    }

    async fn accounts(&self) -> Result<Vec<Account>> {
        self.again(|| self.all(Call::<D>::new(&sql::ACCOUNTS), account)).await
    }

    async fn account(&self, name: &AccountName) -> Result<Option<(Account, PasswordHash)>> {
        self.again(|| async {
            let call = Call::new(&sql::ACCOUNT_BY_NAME).text(name.as_str());
            self.first(call, |c| Ok((account(c)?, c.parsed("hash")?))).await
        })
        .await
    }

    async fn change_account(
        &self,
        name: &AccountName,
        change: &AccountChange,
        at: Timestamp,
    ) -> Result<bool> {
        let call = |statement| Call::<D>::new(statement).text(name.as_str());
        self.again(|| async {
            let call = match change {
                AccountChange::Password(hash) => {
                    call(&sql::ACCOUNT_PASSWORD).text(hash.expose()).at(at)
                }
                AccountChange::Rehash { from, to } => {
                    call(&sql::ACCOUNT_REHASH).text(from.expose()).text(to.expose())
                }
                AccountChange::Disable => call(&sql::ACCOUNT_DISABLE).at(at),
                AccountChange::Enable => call(&sql::ACCOUNT_ENABLE),
            };
            let mut transaction = self.begin().await?;
            let changed = call.run(&mut transaction).await?;
            commit(transaction).await?;
            Ok(changed > 0)
        })
        .await
    }

    async fn remove_account(&self, name: &AccountName) -> Result<bool> {
        self.again(|| async {
            let mut transaction = self.begin().await?;
            let call = Call::<D>::new(&sql::ACCOUNT_REMOVE).text(name.as_str());
            let removed = call.run(&mut transaction).await?;
            commit(transaction).await?;
            Ok(removed > 0)
        })
        .await
    }

    async fn farm_id(&self, fresh: &str) -> Result<String> {
        let mut transaction = self.begin().await?;
        Call::<D>::new(&sql::FARM_NAME).text(fresh).run(&mut transaction).await?;
        let id = Call::<D>::new(&sql::FARM_ID).one(&mut transaction, |c| c.text("id")).await?;
        commit(transaction).await?;
        Ok(id)
    }

    async fn health(&self) -> Result<()> {
        self.again(|| async {
            self.one(Call::<D>::new(&sql::HEALTH), |c| c.int::<i64>("statuses")).await.map(drop)
        })
        .await
    }
}

fn token<D: Dialect>(c: &Cells<'_, D>) -> Result<Token> {
    Ok(Token {
        id: TokenId(c.int("id")?),
        name: c.text("name")?,
        grant: Grant {
            role: c.parsed("role")?,
            client: c.maybe_parsed("client")?,
            names: c.json("names")?,
        },
        created_at: c.at("created_at")?,
        expires_at: c.maybe_at("expires_at")?,
        revoked_at: c.maybe_at("revoked_at")?,
    })
}

fn account<D: Dialect>(c: &Cells<'_, D>) -> Result<Account> {
    Ok(Account {
        name: c.parsed("name")?,
        role: c.parsed("role")?,
        names: c.json("names")?,
        created_at: c.at("created_at")?,
        password_at: c.at("password_at")?,
        expires_at: c.maybe_at("expires_at")?,
        disabled_at: c.maybe_at("disabled_at")?,
    })
}
