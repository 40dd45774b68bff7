//! PostgreSQL: one server, many writers at once, and many pybit servers on it.
//!
//! Every transaction that writes runs at `READ COMMITTED`: what it decides on is locked or has its turn (the order is that
//! of [`crate::sql`]), so nothing is gained by a stricter level, whose refusals would grow with the load. One that only
//! reads, but with several statements, runs at `REPEATABLE READ`, which refuses nothing to a reader.

mod error;
mod moment;
mod news;
mod options;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::Storage;
use pybit_core::{Error, ErrorKind, Result};
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPoolOptions, PgRow};
use sqlx::{
    AssertSqlSafe, Connection, Pool, Postgres, SqlSafeStr, Transaction, query_with, raw_sql,
};

pub use options::PostgresOptions;

use super::call::Call;
use super::dialect::{Dialect, Engine, migrator};
use super::spare::Spare;
use super::{SqlStore, Statement, statements};

/// The oldest major version that the tests have seen to work.
const OLDEST: i64 = 13;

/// Opens `postgres:` and `postgresql:` URLs: `postgres://user:password@host/database?sslmode=verify-full`.
///
/// The database must be there, the tables are made in it. Several servers may open it at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresFactory;

#[async_trait]
impl Factory<dyn Storage> for PostgresFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &["postgres", "postgresql"]
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(SqlStore::<Postgres>::open(settings).await?))
    }
}

impl SqlStore<Postgres> {
    /// Connects to the database that the settings name, and brings its schema up to date.
    ///
    /// - `Invalid`: the URL or an option is not acceptable, or there is no such database. `Denied`: it refuses the user.
    /// - `Unavailable`: nothing answers. `Unsupported`: the server is too old, or the schema too new.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let store = Self::connect(settings, true).await?;
        store.bring_up_to_date(&settings.shown()).await?;
        news::exchange(&store.write, &store.news);
        Ok(store)
    }

    /// Connects to the database that the settings name, whatever its schema. Unhurried, no statement and no transaction is
    /// ended for taking long.
    pub(super) async fn connect(settings: &Settings, hurried: bool) -> Result<Self> {
        let options: PostgresOptions = settings.options()?;
        let mut connect = options.connect_options(settings)?;
        reach(&connect, options.acquire_timeout(), &settings.shown()).await?;
        if !hurried {
            connect = unhurried(connect);
        }
        let pool = options.pool(connect);
        let patience = options.statement_timeout() + options.acquire_timeout();
        Ok(Self::new(pool, None, hurried.then_some(patience)))
    }
}

fn unhurried(connect: PgConnectOptions) -> PgConnectOptions {
    connect.options([
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
    ])
}

/// Connects once, to say exactly what is wrong: a pool only says that it took too long.
async fn reach(connect: &PgConnectOptions, patience: Duration, shown: &str) -> Result<()> {
    let connected = tokio::time::timeout(patience, PgConnection::connect_with(connect)).await;
    let connected = connected.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let mut connection = connected.map_err(|e| error::unreachable(shown, e))?;
    let (version, encoding, standby) = Call::<Postgres>::new(&statements::POSTGRES_SERVER)
        .one(&mut connection, |c| {
            Ok((c.int::<i64>("version")?, c.text("encoding")?, c.flag("standby")?))
        })
        .await?;
    // A courtesy; the server would find the connection gone.
    connection.close().await.ok();
    let why = if version / 10_000 < OLDEST {
        format!("it is version {}, and pybit needs {OLDEST} or newer", version / 10_000)
    } else if encoding != "UTF8" {
        format!("its encoding is {encoding}, and pybit needs UTF8 (createdb --encoding UTF8)")
    } else if standby {
        "it is a standby that only reads; name the primary".to_owned()
    } else {
        return Ok(());
    };
    let message = format!("the PostgreSQL database {shown} cannot be used: {why}");
    Err(Error::new(ErrorKind::Unsupported, message).with_op("open").with_code("storage_unsuitable"))
}

/// Begins a transaction in a task of its own, which ends whoever waits for it.
///
/// The driver (0.9.0) counts a transaction only after the server has answered: a caller that goes away before that leaves the
/// connection in a transaction that nobody knows of, and what is written over it later is never committed.
async fn begin_whole(
    from: &Spare<Postgres>,
    statement: &'static str,
) -> sqlx::Result<Transaction<'static, Postgres>> {
    let connection = from.take().await?.give_away();
    let begun = tokio::spawn(Transaction::begin(connection, Some(statement.into_sql_str())));
    let begun = begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed));
    if begun.is_err() {
        // What ended this one may have ended those that rest.
        from.clear();
    }
    begun
}

impl Dialect for Postgres {
    const ENGINE: Engine = Engine::Postgres;
    // More would share fewer callers among more askings, and an asking costs more than what it asks for. Submissions, claims
    // and changes have one each.
    const AT_ONCE: usize = 1;

    fn migrations() -> Migrator {
        migrator([
            (1, "farm", include_str!("../../../migrations/postgres/0001_farm.sql")),
            (2, "farm id", include_str!("../../../migrations/postgres/0002_farm_id.sql")),
            (3, "whole files", include_str!("../../../migrations/postgres/0003_whole_files.sql")),
            (
                4,
                "counts by statement",
                include_str!("../../../migrations/postgres/0004_counts_by_statement.sql"),
            ),
            (
                5,
                "replaced clients",
                include_str!("../../../migrations/postgres/0005_replaced_clients.sql"),
            ),
            (6, "hook rules", include_str!("../../../migrations/postgres/0006_hook_rules.sql")),
            (7, "accounts", include_str!("../../../migrations/postgres/0007_accounts.sql")),
            (
                8,
                "repository_health",
                include_str!("../../../migrations/postgres/0008_repository_health.sql"),
            ),
            (9, "names", include_str!("../../../migrations/postgres/0009_names.sql")),
            (10, "names", include_str!("../../../migrations/postgres/0010_names.sql")),
            (
                11,
                "package orders",
                include_str!("../../../migrations/postgres/0011_package_orders.sql"),
            ),
            (12, "overlay", include_str!("../../../migrations/postgres/0012_overlay.sql")),
            (13, "order keys", include_str!("../../../migrations/postgres/0013_order_keys.sql")),
            (14, "key orders", include_str!("../../../migrations/postgres/0014_key_orders.sql")),
        ])
    }

    /// The driver holds an advisory lock meanwhile, so that of several servers one migrates and the others find it done;
    /// neither that wait nor a long migration is cut short.
    fn migrate(pool: &Pool<Self>) -> BoxFuture<'_, Result<(), MigrateError>> {
        async move {
            let patient = unhurried(pool.connect_options().as_ref().clone());
            let patient = PgPoolOptions::new().max_connections(1).connect_with(patient).await?;
            let migrated = Self::migrations().run(&patient).await;
            patient.close().await;
            migrated
        }
        .boxed()
    }

    fn kind(error: &dyn DatabaseError) -> ErrorKind {
        error::kind(error)
    }

    fn is_passing(error: &sqlx::Error) -> bool {
        error::is_passing(error)
    }

    fn begin(from: &Spare<Self>) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self>>> {
        begin_whole(from, "BEGIN ISOLATION LEVEL READ COMMITTED").boxed()
    }

    fn begin_read(from: &Spare<Self>) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self>>> {
        begin_whole(from, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").boxed()
    }

    fn say(connection: &mut PgConnection, text: String) -> BoxFuture<'_, sqlx::Result<()>> {
        async move { raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop) }.boxed()
    }

    fn take_turns(
        connection: &mut PgConnection,
        numbers: Vec<i64>,
    ) -> BoxFuture<'_, sqlx::Result<()>> {
        async move {
            let mut arguments = PgArguments::default();
            let list = serde_json::Value::from(numbers).to_string();
            <Self as super::Value<String>>::bind(&mut arguments, list)
                .map_err(sqlx::Error::Encode)?;
            Self::fetch(connection, &statements::POSTGRES_TAKE_TURNS, arguments).await.map(drop)
        }
        .boxed()
    }

    fn fetch<'c>(
        connection: &'c mut PgConnection,
        statement: &'static Statement,
        arguments: PgArguments,
    ) -> BoxFuture<'c, sqlx::Result<Vec<PgRow>>> {
        let query = query_with(statement.text(Self::ENGINE), arguments)
            .persistent(!statement.is_planned_anew());
        query.fetch_all(connection).boxed()
    }

    fn run<'c>(
        connection: &'c mut PgConnection,
        statement: &'static Statement,
        arguments: PgArguments,
    ) -> BoxFuture<'c, sqlx::Result<u64>> {
        let query = query_with(statement.text(Self::ENGINE), arguments);
        async move { Ok(query.execute(connection).await?.rows_affected()) }.boxed()
    }
}
