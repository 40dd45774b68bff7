//! The farm's state as plain tables behind one lock.
//!
//! Nothing is ever removed but sent hints, parts, accounts and what the catalogue holds, so numbers are counted from the length of their table where
//! they can be.

mod accounts;
mod advance;
mod catalog;
mod claim;
mod clients;
mod jobs;
mod kept;
mod orders;
mod packages;
mod streams;
mod submit;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockReadGuard, watch};

use super::Rows;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    Account, AccountName, Attempt, BlockRule, BuildClient, ClientName, Event, HookRule, Job, JobId,
    JobStatus, OrderId, PackageOrder, Part, PasswordHash, Repository, RepositoryName, RuleId,
    Stream, StreamId, Submission, SubmissionId, SuiteMove, Target, Token, TokenId, Upload,
    UploadId,
};
use crate::publish::Listed;
use crate::storage::{Changes, OutboxRow};
use table::{Single, Table};

/// Storage whose state lies in memory. By itself it lives and ends with its process; over [`Rows`] it outlives it.
///
/// Every question is answered from memory. Every transaction changes the state under one lock and then, where there are
/// [`Rows`], commits exactly the rows that it has changed, before anybody sees them and before it returns. So it suits a
/// farm whose state fits into memory and that one server serves.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    /// `None` when it is not known what [`Rows`] hold: after a commit that failed. They are read again then.
    state: Arc<RwLock<Option<State>>>,
    rows: Option<Arc<dyn Rows>>,
    changes: watch::Sender<Changes>,
}

impl MemoryStorage {
    /// The storage that these rows hold; a new farm's where there are none yet.
    ///
    /// Fails, `Unsupported`, code `newer_format`, where a newer pybit wrote them, and `Corrupt`, code `unreadable_row`,
    /// where one of them cannot be read. To be used on a tokio runtime.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use std::{collections::BTreeMap, sync::Arc};
    ///
    /// use pybit_core::memory::{MemoryStorage, Rows, Write};
    /// use pybit_core::storage::AccountStore;
    ///
    /// /// Any database that can write a batch of rows as a whole; here a map.
    /// #[derive(Debug, Default)]
    /// struct Map(Mutex<BTreeMap<String, String>>);
    ///
    /// #[async_trait::async_trait]
    /// impl Rows for Map {
    ///     async fn load(&self) -> pybit_core::Result<Vec<(String, String)>> {
    ///         Ok(self.0.lock().unwrap().clone().into_iter().collect())
    ///     }
    ///
    ///     async fn commit(&self, batch: Vec<Write>) -> pybit_core::Result<()> {
    ///         let mut rows = self.0.lock().unwrap();
    ///         for write in batch {
    ///             match write {
    ///                 Write::Put { key, value } => rows.insert(key, value),
    ///                 Write::Remove { key } => rows.remove(&key),
    ///             };
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let rows = Arc::new(Map::default());
    /// let before = MemoryStorage::kept_in(rows.clone()).await?;
    /// before.farm_id("0123456789abcdef0123456789abcdef").await?;
    /// drop(before);
    /// let after = MemoryStorage::kept_in(rows).await?;
    /// assert_eq!(after.farm_id("another").await?, "0123456789abcdef0123456789abcdef");
    /// # pybit_core::Result::<()>::Ok(()) }).unwrap();
    /// ```
    pub async fn kept_in(rows: Arc<dyn Rows>) -> Result<Self> {
        let state = State::load(rows.as_ref()).await?;
        let state = Arc::new(RwLock::new(Some(state)));
        Ok(Self { state, rows: Some(rows), changes: watch::Sender::default() })
    }

    /// The state, for one question's length.
    async fn read(&self) -> Result<RwLockReadGuard<'_, State>> {
        loop {
            let state = self.state.read().await;
            if let Ok(state) = RwLockReadGuard::try_map(state, Option::as_ref) {
                return Ok(state);
            }
            self.write(|_| Ok(())).await?;
        }
    }

    /// One transaction: what `work` changes takes effect as a whole and is kept, or not at all.
    ///
    /// `work` checks everything before it writes anything, so that a refusal leaves no trace.
    async fn write<T>(&self, work: impl FnOnce(&mut State) -> Result<T> + Send) -> Result<T> {
        let mut guard = Arc::clone(&self.state).write_owned().await;
        let Some(rows) = &self.rows else {
            let state = guard.get_or_insert_default();
            let ended = work(state);
            state.forget_changes();
            return ended;
        };
        let mut state = match guard.take() {
            Some(state) => state,
            None => State::load(rows.as_ref()).await?,
        };
        let ended = work(&mut state);
        if ended.is_err() {
            state.forget_changes();
        }
        let batch = state.take_writes()?;
        if batch.is_empty() {
            *guard = Some(state);
            return ended;
        }
        // A task of its own carries it to its end, and holds the lock until then, also when the caller goes away.
        let rows = Arc::clone(rows);
        let kept = tokio::spawn(async move {
            rows.commit(batch).await?;
            *guard = Some(state);
            Ok(())
        });
        kept.await
            .map_err(|e| Error::internal("the storage's backend panicked").with_source(e))??;
        ended
    }
}

#[derive(Debug, Default)]
struct State {
    /// How the rows are written down, where they are kept.
    format: Single<u32>,
    submissions: Table<SubmissionId, SubmissionRow>,
    /// By principal and idempotency key.
    keys: Table<(String, String), SubmissionId>,
    jobs: Table<JobId, JobRow>,
    outbox: Table<i64, OutboxRow>,
    last_outbox: Single<i64>,
    uploads: Table<UploadId, Upload>,
    streams: Table<StreamId, Stream>,
    /// By stream and offset.
    parts: Table<(StreamId, u64), Part>,
    targets: Table<Target, i32>,
    repositories: Table<RepositoryName, Repository>,
    rules: Table<RuleId, BlockRule>,
    last_rule: Single<i64>,
    hook_rules: Table<i64, HookRule>,
    last_hook_rule: Single<i64>,
    moves: Table<i64, SuiteMove>,
    last_move: Single<i64>,
    /// The packages that repositories hold, each list in order.
    published: Table<RepositoryName, Vec<Listed>>,
    clients: Table<ClientName, BuildClient>,
    /// Processes that others have replaced, newest first.
    replaced: Table<ClientName, Vec<String>>,
    tokens: Table<TokenId, TokenRow>,
    accounts: Table<AccountName, AccountRow>,
    farm_id: Single<String>,
    orders: Table<OrderId, OrderRow>,
    /// Jobs whose publication a removal took away, and that removal.
    withdrawn: Table<JobId, OrderId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SubmissionRow {
    submission: Submission,
    /// The jobs that it became at once, in the order of its plan.
    planned: Vec<JobId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct JobRow {
    job: Job,
    version_key: Option<Vec<u8>>,
    events: Vec<Event>,
    attempts: Vec<AttemptRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AttemptRow {
    /// Its `log_length` is read from the stream instead.
    attempt: Attempt,
    claim_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct TokenRow {
    token: Token,
    /// The digest of the secret.
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct AccountRow {
    account: Account,
    hash: PasswordHash,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OrderRow {
    order: PackageOrder,
    /// Of its version.
    version_key: Option<Vec<u8>>,
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// Who changes something, why and when.
#[derive(Debug, Clone, Copy)]
struct Act<'a> {
    actor: &'a str,
    cause: &'a str,
    at: Timestamp,
}

impl State {
    fn row(&self, id: JobId) -> Result<&JobRow> {
        self.jobs.get(&id).ok_or_else(|| no_job(id))
    }

    fn row_mut(&mut self, id: JobId) -> Result<&mut JobRow> {
        self.jobs.get_mut(&id).ok_or_else(|| no_job(id))
    }

    /// Gives the job its next status, and writes the event and, where it became claimable, the hint.
    fn set_status(&mut self, id: JobId, to: JobStatus, act: Act<'_>) -> Result<()> {
        let job = &mut self.row_mut(id)?.job;
        let from = std::mem::replace(&mut job.status, to);
        job.row_version += 1;
        job.lease_epoch += 1;
        job.changed_at = act.at;
        self.note(id, Some(from), act)
    }

    fn note(&mut self, id: JobId, from: Option<JobStatus>, act: Act<'_>) -> Result<()> {
        let row = self.row_mut(id)?;
        let job = &row.job;
        row.events.push(Event {
            job: id,
            number: job.row_version,
            attempt: job.attempt,
            from,
            to: job.status,
            actor: act.actor.to_owned(),
            cause: act.cause.to_owned(),
            at: act.at,
        });
        if job.status == JobStatus::Waiting {
            let route = job.target.route();
            let number = self.last_outbox.next();
            self.outbox.insert(number, OutboxRow { id: number, job: id, route });
        }
        Ok(())
    }
}

/// The number of the next row of a table that nothing is removed from.
fn next_number(len: usize) -> i64 {
    i64::try_from(len).map_or(i64::MAX, |n| n.saturating_add(1))
}

fn no_job(id: JobId) -> Error {
    Error::not_found(format!("there is no job {id}"))
}

/// The first `limit` of them.
fn first<T>(all: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    all.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}
