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
mod facts;
mod group;
mod jobs;
mod moves;
mod news;
mod orders;
mod packages;
#[cfg(feature = "postgres")]
mod postgres;
mod published;
mod remembered;
mod spare;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
pub mod statements;
mod streams;
mod turns;
pub mod upkeep;

use std::error::Error as _;
use std::time::Duration;

use pybit_core::model::{Catalogue, Job, Stream, Submission, SubmissionId, Upload, UploadId};
use pybit_core::storage::{Advance, Recorded};
use pybit_core::{Error, ErrorKind, Result, trial};
use sqlx::{Pool, Transaction};

pub use dialect::{Dialect, Engine, Moment, Value};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresFactory, PostgresOptions};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteFactory, SqliteOptions};
pub use statement::Statement;

use call::{Call, Cells};
use error::{failed, not_migrated, too_new};
use facts::Facts;
use group::Group;
use news::News;
use remembered::Remembered;
use spare::{Spare, Taken};

/// The operation of the error of a commit: whether it took effect is not known.
const COMMIT: &str = "commit";

/// The farm's state in a SQL database.
#[derive(Debug)]
pub struct SqlStore<D: Dialect> {
    write: Spare<D>,
    read: Spare<D>,
    /// How long one method may take; an engine in this process needs no such limit.
    patience: Option<Duration>,
    news: News,
    catalogue: Remembered<Catalogue>,
    submissions: Facts<SubmissionId, Submission>,
    uploads: Facts<UploadId, Upload>,
    /// Of uploads that are whole.
    uploaded: Facts<UploadId, Vec<Stream>>,
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
            submissions: self.submissions.clone(),
            uploads: self.uploads.clone(),
            uploaded: self.uploaded.clone(),
            records: self.records.clone(),
            claims: self.claims.clone(),
            taking: self.taking.clone(),
            advances: self.advances.clone(),
        }
    }
}

impl<D: Dialect> SqlStore<D> {
    /// `read` is absent where those who write and those who read share connections.
    fn new(write: Pool<D>, read: Option<Pool<D>>, patience: Option<Duration>) -> Self {
        let write = Spare::of(write);
        Self {
            read: read.map_or_else(|| write.clone(), Spare::of),
            write,
            patience,
            news: News::default(),
            catalogue: Remembered::default(),
            submissions: Facts::default(),
            uploads: Facts::default(),
            uploaded: Facts::default(),
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
        match D::migrate(self.write.pool()).await {
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
        self.one(Call::new(&statements::SCHEMA_VERSION), |c| c.int("version")).await
    }

    /// Closes every connection, readers first, so that the last one leaves a tidy database behind.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// A connection for statements that read, each by itself.
    async fn reader(&self) -> Result<Taken<D>> {
        self.read.take().await.map_err(|e| failed::<D>("connect", e))
    }

    /// The rows of a statement that reads.
    async fn all<R>(
        &self,
        call: Call<D>,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<Vec<R>> {
        let mut reader = self.reader().await?;
        let rows = call.all(&mut reader, decode).await?;
        reader.well();
        Ok(rows)
    }

    /// The first row of a statement that reads, if there is one.
    async fn first<R>(
        &self,
        call: Call<D>,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<Option<R>> {
        Ok(self.all(call, decode).await?.into_iter().next())
    }

    /// The row of a statement that reads and always returns one.
    async fn one<R>(
        &self,
        call: Call<D>,
        decode: impl Fn(&Cells<'_, D>) -> Result<R>,
    ) -> Result<R> {
        let mut reader = self.reader().await?;
        let row = call.one(&mut reader, decode).await?;
        reader.well();
        Ok(row)
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
        let mut connection = self.writer().await?;
        let rows = call.all(&mut connection, decode).await.map_err(committed_or_not::<D>)?;
        connection.well();
        Ok(rows)
    }

    /// A connection for statements that write.
    async fn writer(&self) -> Result<Taken<D>> {
        self.write.take().await.map_err(|e| failed::<D>("connect", e))
    }

    /// A transaction that `begin` begins, and does its first work in the same asking; dropped without [`end`](Self::end), it
    /// changes nothing. For an engine that is asked over a wire.
    async fn begin_with(&self, begin: String) -> Result<Taken<D>> {
        let mut connection = self.writer().await?;
        connection.opens();
        D::say(&mut connection, begin).await.map_err(|e| failed::<D>("begin", e))?;
        Ok(connection)
    }

    /// Commits what [`begin_with`](Self::begin_with) began.
    async fn end(&self, mut open: Taken<D>) -> Result<()> {
        let commit = statements::POSTGRES_COMMIT.to_owned();
        D::say(&mut open, commit).await.map_err(|e| failed::<D>(COMMIT, e))?;
        open.well();
        Ok(())
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
