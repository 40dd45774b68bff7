//! Access tokens, accounts, and the farm's own name.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{Account, AccountName, Grant, NameGrant, PasswordHash, Role, Token, TokenId};

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

/// An account to be kept: what is kept of its password, never the password.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its name.
    pub name: AccountName,
    /// What it may do; not [`Role::Client`].
    pub role: Role,
    /// The names of the base distribution that it may submit under.
    pub names: Vec<NameGrant>,
    /// What is kept of its password.
    pub hash: PasswordHash,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A change of an account.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// Another password.
    Password(PasswordHash),
    /// The same password, kept in another way than `from`.
    Rehash {
        /// What was kept when the password was checked.
        from: PasswordHash,
        /// What is kept from now on.
        to: PasswordHash,
    },
    /// Its password opens nothing until it is enabled.
    Disable,
    /// Its password opens again what it did.
    Enable,
}

/// Tokens, accounts, the farm's name, and whether the storage answers at all.
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

    /// Keeps an account.
    ///
    /// - `an_account_is_kept_once`: a name that is there fails, `Conflict`, code `account_exists`, and changes nothing.
    async fn add_account(&self, account: &NewAccount, at: Timestamp) -> Result<Account>;

    /// - `accounts_come_by_name`: all of them, disabled and ended ones too.
    async fn accounts(&self) -> Result<Vec<Account>>;

    /// - `an_account_is_found_by_its_exact_name`: with what is kept of its password, disabled and ended ones too.
    async fn account(&self, name: &AccountName) -> Result<Option<(Account, PasswordHash)>>;

    /// Changes an account; whether there is such an account.
    ///
    /// - `a_new_password_replaces_the_old_one`: at `at`; nothing else changes.
    /// - `a_rehash_needs_the_hash_that_it_replaces`: where another is kept by now it changes nothing and says so like a
    ///   missing account; the password keeps its time.
    /// - `disabling_twice_keeps_the_first_time`: and an account that is enabled has none.
    async fn change_account(
        &self,
        name: &AccountName,
        change: &AccountChange,
        at: Timestamp,
    ) -> Result<bool>;

    /// Removes an account; whether there was one.
    ///
    /// - `a_removed_account_is_gone`: and its name is free.
    async fn remove_account(&self, name: &AccountName) -> Result<bool>;

    /// The farm's own name, by which brokers tell it from another farm: `fresh`, 32 random hexadecimal digits, where it has
    /// none yet, else the one that it got first.
    ///
    /// - `the_first_farm_id_stays`: also when several servers ask at once.
    async fn farm_id(&self, fresh: &str) -> Result<String>;

    /// Whether the storage answers.
    ///
    /// - `an_open_storage_is_healthy`: it does once it is opened. `Unavailable` where it is away.
    async fn health(&self) -> Result<()>;
}
