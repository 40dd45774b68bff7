//! What is done to a database as a whole: `pybit storage migrate`, `check` and `copy`.

mod cells;
mod check;
mod copy;
mod engine;
mod names;
mod rules;
pub mod tables;
mod users;
mod words;

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
pub use check::{Checked, Finding, FoundRow};
use engine::{Upkeep, number};

/// The schema versions before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// Before; 0 where there was no schema.
    pub from: i64,
    /// Now.
    pub to: i64,
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
    /// The table that it is at.
    pub table: &'static str,
    /// What it does with it.
    pub step: Step,
    /// Rows of all tables that are written.
    pub rows: u64,
    /// Rows that all tables have.
    pub total: u64,
}

/// What a copy does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its rows are written to the target.
    Copied,
    /// They are read there again, and compared.
    Compared,
}

/// A database of either engine.
#[derive(Debug)]
pub struct Database {
    engine: Engine,
    shown: String,
    /// The process that had the file open before this one did.
    process: Option<u32>,
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
    /// - `NotFound`, code `no_such_database`: there is no such file. Otherwise it fails as a store does when it is opened.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let (engine, process) = match settings.scheme() {
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let process = users::process_with(&super::sqlite::must_be_there(settings)?);
                (Engine::Sqlite(SqlStore::<Sqlite>::connect(settings, false).await?), process)
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let mut own = settings.clone();
                own.options.insert("application_name".to_owned(), "pybit storage".into());
                (Engine::Postgres(SqlStore::<Postgres>::connect(&own, false).await?), None)
            }
            _ => {
                let shown = settings.shown();
                let message = format!(
                    "{shown} is no database that outlives its server; one is at sqlite: or postgres:"
                );
                return Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_scheme"));
            }
        };
        Ok(Self { engine, shown: settings.shown(), process })
    }

    /// The same; a file is made where there is none.
    pub async fn open_or_make(settings: &Settings) -> Result<Self> {
        #[cfg(feature = "sqlite")]
        if settings.scheme() == "sqlite" {
            super::sqlite::make(settings).await?;
        }
        Self::open(settings).await
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

    /// Refuses a database that a server has open, as far as that can be known: what it writes would be missing in a copy.
    async fn must_be_idle(&self) -> Result<()> {
        let who = match (self.process, of!(self, store => users::servers(store).await)?) {
            (Some(process), _) => format!("process {process} has it open"),
            (None, 0) => return Ok(()),
            (None, 1) => "a server is connected to it".to_owned(),
            (None, servers) => format!("{servers} connections of servers are open to it"),
        };
        let message = format!(
            "{} is in use: {who}; stop every server of the farm first, clients and watchers may go on",
            self.shown
        );
        Err(Error::conflict(message).with_code("database_in_use"))
    }

    /// Reads every row and follows every rule; changes nothing, and may be done while servers run.
    ///
    /// - `Unsupported`: its schema has another version than this program's.
    pub async fn check(&self) -> Result<Checked> {
        self.must_be_current().await?;
        of!(self, store => check::check(store).await)
    }

    /// Copies every row into `target`, which must be empty and up to date: as they were at one moment, all or none. What
    /// was written is read again and compared before it is kept.
    ///
    /// - `Conflict`, code `target_not_empty`: the target has rows. Code `database_in_use`: a server has one of them open.
    /// - `Corrupt`: the engine finds the source damaged.
    pub async fn copy_to(
        &self,
        target: &Self,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<CopiedTable>> {
        self.must_be_current().await?;
        target.must_be_current().await?;
        self.must_be_idle().await?;
        target.must_be_idle().await?;
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

/// The names of everything that a check can find.
pub fn rule_names() -> impl Iterator<Item = &'static str> {
    rules::all().map(|rule| rule.name).chain(check::OTHERS)
}
