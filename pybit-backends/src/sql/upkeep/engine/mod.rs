//! What going through a whole database asks of an engine beyond [`Dialect`].
//!
//! The texts here are put together from this program's own names of tables and columns, never from anything else.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use pybit_core::{ErrorKind, Result};
use sqlx::{AssertSqlSafe, Row, query_with, raw_sql};

use crate::sql::Dialect;
use crate::sql::error::failed;

/// An engine whose databases can be gone through.
pub(super) trait Upkeep: Dialect {
    /// The rows of a query, one by one.
    fn rows(
        connection: &mut Self::Connection,
        text: String,
    ) -> BoxStream<'_, sqlx::Result<Self::Row>>;

    /// Runs a statement; one that is `kept` comes again with other parameters.
    fn run_text(
        connection: &mut Self::Connection,
        text: String,
        arguments: Self::Arguments,
        kept: bool,
    ) -> BoxFuture<'_, sqlx::Result<()>>;

    /// A number that a query returns.
    fn number(connection: &mut Self::Connection, text: String) -> BoxFuture<'_, sqlx::Result<i64>>;

    /// Whether there is a schema at all.
    const HAS_SCHEMA: &'static str;

    /// The names of the triggers that are there and switched on, as a query.
    const TRIGGERS: &'static str;

    /// How many servers have the database open now, as far as the engine can tell.
    const SERVERS: Option<&'static str>;

    /// Makes triggers do nothing until [`speak`], in this transaction: rows are copied as they are. Returns
    /// what `speak` runs.
    fn hush(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Vec<String>>>;

    /// The greatest number that the engine has given to a row of this table, of rows that are gone too.
    fn last_number(table: &str) -> String;

    /// Goes on with numbers after this one, as statements.
    fn set_last_number(table: &str, last: i64) -> Vec<String>;

    /// What the engine itself finds wrong, in its own words.
    fn faults(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Vec<String>>>;

    /// Run after many rows were added; it changes none.
    const SETTLE: Option<&'static str>;
}

/// The number that a query returns.
pub(super) async fn number<D: Upkeep>(connection: &mut D::Connection, text: String) -> Result<i64> {
    D::number(connection, text).await.map_err(|e| failed::<D>("upkeep", e))
}

/// Runs a statement without parameters.
pub(super) async fn run<D: Upkeep>(connection: &mut D::Connection, text: String) -> Result<()> {
    let ran = D::run_text(connection, text, D::Arguments::default(), false).await;
    ran.map_err(|e| failed::<D>("upkeep", e))
}

/// What the engine itself finds wrong; that it cannot even look is one of these things.
pub(super) async fn faults<D: Upkeep>(connection: &mut D::Connection) -> Result<Vec<String>> {
    let error = match D::faults(connection).await {
        Ok(found) => return Ok(found),
        Err(error) => failed::<D>("check", error),
    };
    match std::error::Error::source(&error) {
        Some(source) if error.kind() == ErrorKind::Corrupt => Ok(vec![source.to_string()]),
        _ => Err(error),
    }
}

/// Ends what [`Upkeep::hush`] began.
pub(super) async fn speak<D: Upkeep>(
    connection: &mut D::Connection,
    hushed: Vec<String>,
) -> Result<()> {
    for text in hushed {
        run::<D>(connection, text).await?;
    }
    Ok(())
}

macro_rules! plain {
    () => {
        fn rows(
            connection: &mut Self::Connection,
            text: String,
        ) -> BoxStream<'_, sqlx::Result<Self::Row>> {
            query_with(AssertSqlSafe(text), <Self as sqlx::Database>::Arguments::default())
                .persistent(false)
                .fetch(connection)
                .boxed()
        }

        fn run_text(
            connection: &mut Self::Connection,
            text: String,
            arguments: Self::Arguments,
            kept: bool,
        ) -> BoxFuture<'_, sqlx::Result<()>> {
            let query = query_with(AssertSqlSafe(text), arguments).persistent(kept);
            async move { query.execute(connection).await.map(drop) }.boxed()
        }

        fn number(
            connection: &mut Self::Connection,
            text: String,
        ) -> BoxFuture<'_, sqlx::Result<i64>> {
            let query =
                query_with(AssertSqlSafe(text), <Self as sqlx::Database>::Arguments::default());
            let query = query.persistent(false);
            async move { query.fetch_one(connection).await?.try_get(0) }.boxed()
        }
    };
}

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
