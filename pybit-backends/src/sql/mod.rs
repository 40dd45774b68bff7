//! Storage in a SQL database.
//!
//! - [`SqlStore`] implements every storage trait once, for any engine that has a [`Dialect`]; [`SqliteFactory`] opens it
//!   for `sqlite:` URLs and [`PostgresFactory`] for `postgres:` ones. Another engine is another dialect and another folder
//!   of migrations.
//! - [`upkeep`] migrates, checks and copies a whole database, as `pybit storage` does.
//! - [`statements`] holds every SQL text of pybit; the folders and files beside it are named after the traits' nouns, and
//!   within them after their verbs.
//! - One method is one transaction, run again where the engine took it back. SQLite has one writer, who begins as one, so
//!   that a decision and its effect see the same rows. PostgreSQL has many, at `READ COMMITTED`, where each statement sees
//!   what was committed before it: so whoever decides on a row locks it first, and whoever decides on rows that are not
//!   there takes turns.
//! - **Locks are taken in one order**, so that nobody waits in a circle: turns by number (`turns`), jobs by number, then
//!   attempts, streams, uploads and parts, then clients, then the rest. Only `jobs/prepare.rs` and a heartbeat hold several
//!   jobs, and each takes them in that order; a claim passes over what is held and waits for none.

mod accounts;
mod again;
mod call;
mod catalog;
mod clients;
mod dialect;
mod error;
mod group;
mod jobs;
mod news;
mod packages;
#[cfg(feature = "postgres")]
mod postgres;
mod remembered;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
pub mod statements;
mod streams;
mod turns;
pub mod upkeep;

use std::error::Error as _;
use std::time::Duration;

use pybit_core::model::{Catalogue, Job};
use pybit_core::storage::{Advance, Recorded};
use pybit_core::{Error, ErrorKind, Result, trial};
use sqlx::pool::PoolConnection;
use sqlx::{Pool, Transaction};

pub use dialect::{Dialect, Engine, Moment, Value};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresFactory, PostgresOptions};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteFactory, SqliteOptions};
pub use statement::Statement;

use call::{Call, Cells};
use error::{failed, not_migrated, too_new};
use group::Group;
use news::News;
use remembered::Remembered;

/// The operation of the error of a commit: whether it took effect is not known.
const COMMIT: &str = "commit";

/// The farm's state in a SQL database.
#[derive(Debug)]
pub struct SqlStore<D: Dialect> {
    write: Pool<D>,
    read: Pool<D>,
    /// How long one method may take; an engine in this process needs no such limit.
    patience: Option<Duration>,
    news: News,
    catalogue: Remembered<Catalogue>,
    records: Group<jobs::Wish, Recorded>,
    claims: Group<jobs::Ask, Option<Job>>,
    taking: jobs::Taking,
    advances: Group<jobs::Step, Advance>,
}

impl<D: Dialect> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self {
            write: self.write.clone(),
            read: self.read.clone(),
            patience: self.patience,
            news: self.news.clone(),
            catalogue: self.catalogue.clone(),
            records: self.records.clone(),
            claims: self.claims.clone(),
            taking: self.taking.clone(),
            advances: self.advances.clone(),
        }
    }
}

impl<D: Dialect> SqlStore<D> {
    fn new(write: Pool<D>, read: Pool<D>, patience: Option<Duration>) -> Self {
        Self {
            write,
            read,
            patience,
            news: News::default(),
            catalogue: Remembered::default(),
            records: Group::default(),
            claims: Group::default(),
            taking: jobs::Taking::default(),
            advances: Group::default(),
        }
    }

    /// The schema version that this program makes.
    pub fn known_version() -> i64 {
        D::migrations().iter().map(|m| m.version).max().unwrap_or(0)
    }

    /// Brings the schema up to date. `shown` names the database in messages.
    ///
    /// - `Unsupported`, code `schema_too_new`: a newer program has changed the schema.
    async fn bring_up_to_date(&self, shown: &str) -> Result<()> {
        trial::crash_point("migrate_before");
        match D::migrate(&self.write).await {
            Ok(()) => {
                trial::crash_point("migrate_after");
                Ok(())
            }
            Err(sqlx::migrate::MigrateError::VersionMissing(missing)) => {
                let found = self.schema_version().await?.max(missing);
                Err(too_new(shown, found, Self::known_version()))
            }
            Err(error) => Err(not_migrated::<D>(shown, error)),
        }
    }

    /// The newest schema version in the database.
    pub async fn schema_version(&self) -> Result<i64> {
        let mut reader = self.reader().await?;
        Call::<D>::new(&statements::SCHEMA_VERSION).one(&mut reader, |c| c.int("version")).await
    }

    /// Closes every connection, readers first, so that the last one leaves a tidy database behind.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// A connection for a single statement that reads.
    async fn reader(&self) -> Result<PoolConnection<D>> {
        self.read.acquire().await.map_err(|e| failed::<D>("connect", e))
    }

    /// A transaction for several statements that read.
    async fn snapshot(&self) -> Result<Transaction<'static, D>> {
        D::begin_read(&self.read).await.map_err(|e| failed::<D>("begin", e))
    }

    /// Runs one statement that is all of its transaction. Where the engine is asked over a wire nothing else is asked.
    async fn at_once<R>(
        &self,
        call: Call<D>,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<Vec<R>> {
        if D::ENGINE == Engine::Sqlite {
            let mut transaction = self.begin().await?;
            let rows = call.all(&mut transaction, decode).await?;
            commit(transaction).await?;
            return Ok(rows);
        }
        let mut connection = self.write.acquire().await.map_err(|e| failed::<D>("connect", e))?;
        call.all(&mut connection, decode).await.map_err(committed_or_not::<D>)
    }

    /// A transaction that writes; dropped without [`commit`], it changes nothing.
    async fn begin(&self) -> Result<Transaction<'static, D>> {
        D::begin(&self.write).await.map_err(|e| failed::<D>("begin", e))
    }
}

/// A statement that is a transaction by itself has begun: unless the engine refused it, what became of it is not known.
fn committed_or_not<D: Dialect>(error: Error) -> Error {
    match error.source().and_then(|e| e.downcast_ref()) {
        Some(sqlx::Error::Database(said)) if D::kind(said.as_ref()) != ErrorKind::Unavailable => {
            error
        }
        _ => error.with_op(COMMIT),
    }
}

async fn commit<D: Dialect>(transaction: Transaction<'static, D>) -> Result<()> {
    transaction.commit().await.map_err(|e| failed::<D>(COMMIT, e))
}
