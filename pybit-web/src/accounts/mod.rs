//! Who an account's password proves to be.
//!
//! Hashing is dear on purpose, so at most [`AT_ONCE`] passwords are hashed at the same time, few tries may fail ([`tries`]), and a
//! password that was right a moment ago is not hashed again ([`remembered`]). The account's row is read each time: one
//! that was changed, disabled or removed through any server works no more from then on.

mod hashing;
mod remembered;
mod tries;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poem::http::StatusCode;
use pybit_core::clock::Timestamp;
use pybit_core::model::{Account, AccountName, Password, PasswordHash};
use pybit_core::storage::{AccountChange, Storage};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::{ApiError, ApiResult};
use hashing::Verdict;
use remembered::Remembered;
use tries::{Tries, Try};

/// Passwords that are hashed at the same time: each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// How long a request waits for its turn to be hashed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody says to be an account.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// The account's name, as it was sent.
    pub(crate) name: &'a str,
    /// The password, as it was sent.
    pub(crate) password: &'a str,
    /// The address that it came from.
    pub(crate) from: IpAddr,
}

/// What this process knows of passwords. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turns: Arc<Semaphore>,
    tries: Mutex<Tries>,
    remembered: Mutex<Remembered>,
}

impl Default for Accounts {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { turns, tries: Mutex::default(), remembered: Mutex::default() }))
    }
}

impl Accounts {
    /// What is to be kept of a new password.
    pub(crate) async fn hash(&self, password: &Password) -> Result<PasswordHash> {
        let turn = self.turn().await?;
        let password = password.clone();
        blocking(turn, move || hashing::hash(password.expose())).await
    }

    /// The account, where there is one of this name and this is its password; none also where it is disabled or has ended.
    /// It costs as much time where there is none.
    ///
    /// Refuses, 429, where too many tries have failed.
    pub(crate) async fn prove(
        &self,
        storage: &dyn Storage,
        now: Timestamp,
        claim: Claim<'_>,
    ) -> ApiResult<Option<Account>> {
        let Ok(name) = claim.name.parse::<AccountName>() else { return Ok(None) };
        if claim.password.is_empty() || claim.password.len() > Password::LONGEST {
            return Ok(None);
        }
        let tried = Try::new(&name, claim.from);
        self.tries().check(&tried, Instant::now()).map_err(too_often)?;
        let row = storage.account(&name).await?;
        if let Some(account) = self.remembered(row.as_ref(), now, claim.password) {
            return Ok(Some(account));
        }
        let turn = self.turn().await?;
        // While it waited, another request may have proved the same, and an operator may have changed the account.
        let row = storage.account(&name).await?;
        if let Some(account) = self.remembered(row.as_ref(), now, claim.password) {
            return Ok(Some(account));
        }
        // It counts as failed until it has not: whoever goes away before that has tried all the same.
        let begun = self.tries().begin(&tried, Instant::now()).map_err(too_often)?;
        let (password, kept) =
            (claim.password.to_owned(), row.as_ref().map(|(_, hash)| hash.clone()));
        let verdict = blocking(turn, move || hashing::verify(&password, kept.as_ref())).await?;
        let account = row.filter(|(account, _)| verdict != Verdict::Wrong && account.is_open(now));
        let Some((account, mut hash)) = account else {
            tracing::warn!(account = %name, from = %claim.from, "a password was refused");
            return Ok(None);
        };
        self.tries().proved(&tried, begun, Instant::now());
        if let Verdict::Outdated(to) = verdict
            && self.rehash(storage, now, &name, &hash, &to).await
        {
            hash = to;
        }
        let mut remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.add(&account.name, &hash, claim.password, Instant::now());
        Ok(Some(account))
    }

    /// The account, where this is its password as it was proved lately.
    fn remembered(
        &self,
        row: Option<&(Account, PasswordHash)>,
        now: Timestamp,
        password: &str,
    ) -> Option<Account> {
        let (account, hash) = row.filter(|(account, _)| account.is_open(now))?;
        let remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.knows(&account.name, hash, password, Instant::now()).then(|| account.clone())
    }

    /// Keeps a password in today's way; whether that is what is kept now.
    async fn rehash(
        &self,
        storage: &dyn Storage,
        now: Timestamp,
        name: &AccountName,
        from: &PasswordHash,
        to: &PasswordHash,
    ) -> bool {
        let change = AccountChange::Rehash { from: from.clone(), to: to.clone() };
        match storage.change_account(name, &change, now).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(account = %name, ?error, "a password is still kept in an older way");
                false
            }
        }
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.0.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.turns).acquire_owned()).await;
        turn.ok().and_then(std::result::Result::ok).ok_or_else(|| {
            let message = "too many passwords are being checked; try again in a moment";
            Error::new(ErrorKind::Busy, message)
        })
    }
}

/// Hashes on a thread that may block. The turn lasts until the work has ended, also when its caller goes away.
async fn blocking<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let worked = tokio::task::spawn_blocking(move || {
        let worked = work();
        drop(turn);
        worked
    });
    worked.await.map_err(|e| Error::internal("hashing a password panicked").with_source(e))?
}

fn too_often(wait: Duration) -> ApiError {
    let seconds = wait.as_secs().saturating_add(1);
    let message = format!(
        "too many wrong passwords for this account or from this address; try again in {seconds} s"
    );
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", message).retry_after(seconds)
}
