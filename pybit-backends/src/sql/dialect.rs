//! All that differs between database engines.

use futures_util::future::BoxFuture;
use pybit_core::ErrorKind;
use pybit_core::clock::Timestamp;
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{
    Arguments, ColumnIndex, Database, Decode, Encode, Pool, Row, SqlSafeStr, Transaction, Type,
};

use super::spare::Spare;
use super::statement::Statement;

/// The engines that a [`Statement`](super::Statement) has a text for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A type that the engine `Self` can bind and read.
///
/// It stands for sqlx's `Encode + Decode + Type`: supertraits are implied where a trait is used and other bounds are not,
/// so `D: Dialect` is the only bound that query code repeats.
pub trait Value<T>: Database {
    /// Adds `value` as the next parameter.
    fn bind(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError>;

    /// Reads the named column.
    fn read(row: &Self::Row, column: &str) -> sqlx::Result<T>;
}

impl<DB, T> Value<T> for DB
where
    DB: Database,
    T: for<'q> Encode<'q, DB> + for<'r> Decode<'r, DB> + Type<DB>,
    for<'c> &'c str: ColumnIndex<DB::Row>,
{
    fn bind(arguments: &mut DB::Arguments, value: T) -> Result<(), BoxDynError> {
        arguments.add(value)
    }

    fn read(row: &DB::Row, column: &str) -> sqlx::Result<T> {
        row.try_get(column)
    }
}

/// A point in time as a column holds it: each engine has its own type for it.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub Timestamp);

/// A database engine: how it begins, which of its errors mean what, and which schema is its own.
///
/// The statements are the same for every engine ([`statements`](super::statements)), the few exceptions among them have
/// a text for each.
pub trait Dialect:
    Database
    + Value<i64>
    + Value<Option<i64>>
    + Value<bool>
    + Value<String>
    + Value<Option<String>>
    + Value<Option<Vec<u8>>>
    + Value<Moment>
    + Value<Option<Moment>>
{
    /// Which texts it runs.
    const ENGINE: Engine;

    /// Transactions of many callers that are worth running at a time (`group`).
    const AT_ONCE: usize;

    /// The schema, version by version.
    fn migrations() -> Migrator;

    /// Brings the schema up to date.
    fn migrate(pool: &Pool<Self>) -> BoxFuture<'_, Result<(), MigrateError>>;

    /// What an error of this engine means.
    fn kind(error: &dyn DatabaseError) -> ErrorKind;

    /// Whether the engine, not the statement, was at fault and has taken the whole transaction back: a deadlock, a lost
    /// connection. Such a transaction is run again.
    fn is_passing(error: &sqlx::Error) -> bool;

    /// Begins a transaction that writes, and may read first.
    fn begin(connections: &Spare<Self>) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self>>>;

    /// Begins a transaction that reads everything as of one moment.
    fn begin_read(
        connections: &Spare<Self>,
    ) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self>>>;

    /// Has statements run that have no parameters and whose rows nobody wants, in one asking.
    fn say(connection: &mut Self::Connection, text: String) -> BoxFuture<'_, sqlx::Result<()>>;

    /// Makes this transaction wait for others that took any of these numbers, one after the other in this order, until it
    /// ends (`turns`). An engine with one writer has nothing to do.
    fn take_turns(
        connection: &mut Self::Connection,
        numbers: Vec<i64>,
    ) -> BoxFuture<'_, sqlx::Result<()>>;

    /// Runs a statement to its end and returns its rows.
    fn fetch<'c>(
        connection: &'c mut Self::Connection,
        statement: &'static Statement,
        arguments: Self::Arguments,
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Row>>>;

    /// Runs a statement and returns how many rows it changed.
    fn run<'c>(
        connection: &'c mut Self::Connection,
        statement: &'static Statement,
        arguments: Self::Arguments,
    ) -> BoxFuture<'c, sqlx::Result<u64>>;
}

/// Migrations, each its number, its name and its text, in a transaction each.
pub(super) fn migrator<const N: usize>(files: [(i64, &'static str, &'static str); N]) -> Migrator {
    let migration = |(version, name, text): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(files.map(migration).to_vec())
}
