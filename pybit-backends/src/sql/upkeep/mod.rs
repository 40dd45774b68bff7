//! What is done to a database as a whole: `pybit storage migrate`, `check` and `copy`.

mod cells;
mod check;
mod copy;
mod engine;
pub mod tables;

use pybit_core::settings::Settings;
use pybit_core::{Error, ErrorKind, Result};
use serde::Serialize;
#[cfg(feature = "postgres")]
use sqlx::Postgres;
#[cfg(feature = "sqlite")]
use sqlx::Sqlite;

use super::SqlStore;
use super::call::Call;
use super::error::too_new;
use super::statements;
use engine::{Upkeep, number};

/// The schema versions before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// Before; 0 where there was no schema.
    pub from: i64,
    /// Now.
    pub to: i64,
}

/// A stored object that a row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedObject {
    /// Its name in the object store.
    pub name: String,
    /// The bytes that it must have, where the row knows.
    pub size: Option<u64>,
}

/// A table that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// Its name.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// A digest of its rows in the order of their key, the same on every engine; hexadecimal SHA-256.
    pub sha256: String,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The table.
    pub table: &'static str,
    /// Rows of it that are written.
    pub rows: u64,
    /// Rows that it has.
    pub total: u64,
}

/// A database of either engine.
#[derive(Debug)]
pub struct Database {
    engine: Engine,
    shown: String,
}

#[derive(Debug)]
enum Engine {
    #[cfg(feature = "sqlite")]
    Sqlite(SqlStore<Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(SqlStore<Postgres>),
}

/// The same for the store of either engine.
macro_rules! of {
    ($database:expr, $store:ident => $work:expr) => {
        match &$database.engine {
            #[cfg(feature = "sqlite")]
            Engine::Sqlite($store) => $work,
            #[cfg(feature = "postgres")]
            Engine::Postgres($store) => $work,
        }
    };
}

impl Database {
    /// Opens the database that is there, whatever its schema, and changes nothing.
    ///
    /// - `NotFound`: there is no such file. Otherwise it fails as a store does when it is opened.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let engine = match settings.scheme() {
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                super::sqlite::must_be_there(settings)?;
                Engine::Sqlite(SqlStore::<Sqlite>::connect(settings).await?)
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                Engine::Postgres(SqlStore::<Postgres>::connect(settings, false).await?)
            }
            _ => {
                let shown = settings.shown();
                let message = format!("{shown} is no database that this program can go through");
                return Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_scheme"));
            }
        };
        Ok(Self { engine, shown: settings.shown() })
    }

    /// The same, with the schema brought up to date; a file is made where there is none.
    pub async fn open_new(settings: &Settings) -> Result<Self> {
        #[cfg(feature = "sqlite")]
        if settings.scheme() == "sqlite" {
            super::sqlite::make(settings).await?;
        }
        let database = Self::open(settings).await?;
        database.migrate().await?;
        Ok(database)
    }

    /// Its URL without user and password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The version of its schema, 0 where it has none, and the version that this program makes.
    pub async fn versions(&self) -> Result<(i64, i64)> {
        of!(self, store => Ok((version(store).await?, known(store))))
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<Migrated> {
        let (from, _) = self.versions().await?;
        of!(self, store => store.bring_up_to_date(&self.shown).await)?;
        Ok(Migrated { from, to: self.versions().await?.0 })
    }

    /// Refuses another schema version than this program's.
    async fn must_be_current(&self) -> Result<()> {
        let (found, known) = self.versions().await?;
        if found > known {
            return Err(too_new(&self.shown, found, known));
        }
        if found == known {
            return Ok(());
        }
        let message = format!(
            "{} has schema version {found}, and this program needs {known}; `pybit storage migrate` brings it there",
            self.shown
        );
        Err(Error::new(ErrorKind::Unsupported, message).with_code("schema_too_old"))
    }

    /// What is wrong with its rows, as sentences; none where it is whole.
    ///
    /// - `Unsupported`: its schema has another version than this program's.
    pub async fn faults(&self) -> Result<Vec<String>> {
        self.must_be_current().await?;
        of!(self, store => check::faults(store).await)
    }

    /// Hands out every stored object that a row names.
    pub async fn objects(
        &self,
        each: impl AsyncFnMut(Vec<NamedObject>) -> Result<()>,
    ) -> Result<()> {
        of!(self, store => check::objects(store, each).await)
    }

    /// Copies every row into `target`, which must be empty and up to date: as they were at one moment, all or none. What
    /// was written is read again and compared before it is kept.
    ///
    /// - `Conflict`, code `target_not_empty`: the target has rows.
    pub async fn copy_to(
        &self,
        target: &Self,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<CopiedTable>> {
        self.must_be_current().await?;
        target.must_be_current().await?;
        of!(self, from => of!(target, to => copy::copy(from, to, progress).await))
    }

    /// Closes its connections.
    pub async fn close(&self) {
        of!(self, store => store.close().await);
    }
}

fn known<D: Upkeep>(_: &SqlStore<D>) -> i64 {
    SqlStore::<D>::known_version()
}

async fn version<D: Upkeep>(store: &SqlStore<D>) -> Result<i64> {
    let mut reader = store.reader().await?;
    if number::<D>(&mut reader, D::HAS_SCHEMA.to_owned()).await? == 0 {
        return Ok(0);
    }
    Call::<D>::new(&statements::SCHEMA_VERSION).one(&mut reader, |c| c.int("version")).await
}
