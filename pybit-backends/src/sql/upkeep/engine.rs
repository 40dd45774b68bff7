//! What going through a whole database asks of an engine beyond [`Dialect`].
//!
//! The texts here are put together from this program's own names of tables and columns, never from anything else.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use pybit_core::Result;
use sqlx::{AssertSqlSafe, Row, query_with, raw_sql};

use crate::sql::Dialect;
use crate::sql::error::failed;

/// An engine whose databases can be gone through.
pub(super) trait Upkeep: Dialect {
    /// The rows of a query, one by one.
    fn rows<'c>(
        connection: &'c mut Self::Connection,
        text: String,
    ) -> BoxStream<'c, sqlx::Result<Self::Row>>;

    /// Runs a statement.
    fn run_text<'c>(
        connection: &'c mut Self::Connection,
        text: String,
        arguments: Self::Arguments,
    ) -> BoxFuture<'c, sqlx::Result<()>>;

    /// A number that a query returns.
    fn number(connection: &mut Self::Connection, text: String) -> BoxFuture<'_, sqlx::Result<i64>>;

    /// Whether there is a schema at all.
    const HAS_SCHEMA: &'static str;

    /// Makes triggers do nothing until [`speak`](Self::speak), in this transaction: rows are copied as they are.
    fn hush(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Vec<String>>>;

    /// Ends [`hush`](Self::hush), which has returned what to say here.
    fn speak(
        connection: &mut Self::Connection,
        hushed: Vec<String>,
    ) -> BoxFuture<'_, sqlx::Result<()>>;

    /// The greatest number that the engine has given to a row of this table, of rows that are gone too.
    fn last_number(table: &str) -> String;

    /// Goes on with numbers after this one.
    fn set_last_number(table: &str, last: i64) -> String;

    /// What the engine itself finds wrong, in its own words.
    fn faults(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<Vec<String>>>;

    /// After many rows were added.
    fn settle(connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>>;
}

/// The number that a query returns.
pub(super) async fn number<D: Upkeep>(connection: &mut D::Connection, text: String) -> Result<i64> {
    D::number(connection, text).await.map_err(|e| failed::<D>("upkeep", e))
}

/// Runs a statement without parameters.
pub(super) async fn run<D: Upkeep>(connection: &mut D::Connection, text: String) -> Result<()> {
    let ran = D::run_text(connection, text, D::Arguments::default()).await;
    ran.map_err(|e| failed::<D>("upkeep", e))
}

macro_rules! plain {
    () => {
        fn rows<'c>(
            connection: &'c mut Self::Connection,
            text: String,
        ) -> BoxStream<'c, sqlx::Result<Self::Row>> {
            query_with(AssertSqlSafe(text), <Self as sqlx::Database>::Arguments::default())
                .persistent(false)
                .fetch(connection)
                .boxed()
        }

        fn run_text<'c>(
            connection: &'c mut Self::Connection,
            text: String,
            arguments: Self::Arguments,
        ) -> BoxFuture<'c, sqlx::Result<()>> {
            let query = query_with(AssertSqlSafe(text), arguments);
            async move { query.execute(connection).await.map(drop) }.boxed()
        }

        fn number(
            connection: &mut Self::Connection,
            text: String,
        ) -> BoxFuture<'_, sqlx::Result<i64>> {
            let query =
                query_with(AssertSqlSafe(text), <Self as sqlx::Database>::Arguments::default());
            async move { query.fetch_one(connection).await?.try_get(0) }.boxed()
        }
    };
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::{Sqlite, SqliteConnection};

    use super::{
        AssertSqlSafe, BoxFuture, BoxStream, FutureExt, Row, StreamExt, Upkeep, query_with, raw_sql,
    };

    impl Upkeep for Sqlite {
        const HAS_SCHEMA: &'static str =
            "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";

        plain!();

        fn hush(connection: &mut SqliteConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
            async move {
                let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
                let rows = raw_sql(triggers).fetch_all(&mut *connection).await?;
                let mut texts = Vec::with_capacity(rows.len());
                for row in rows {
                    let name: String = row.try_get(0)?;
                    texts.push(row.try_get(1)?);
                    let drop = AssertSqlSafe(format!("DROP TRIGGER {name}"));
                    raw_sql(drop).execute(&mut *connection).await?;
                }
                Ok(texts)
            }
            .boxed()
        }

        fn speak(
            connection: &mut SqliteConnection,
            hushed: Vec<String>,
        ) -> BoxFuture<'_, sqlx::Result<()>> {
            async move {
                for text in hushed {
                    raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await?;
                }
                Ok(())
            }
            .boxed()
        }

        fn last_number(table: &str) -> String {
            format!(
                "SELECT max(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0),
                            COALESCE((SELECT max(id) FROM {table}), 0))"
            )
        }

        fn set_last_number(table: &str, last: i64) -> String {
            // A table without AUTOINCREMENT has no row there, and goes on after its greatest number by itself.
            format!(
                "INSERT INTO sqlite_sequence (name, seq)
                 SELECT name, {last} FROM sqlite_schema WHERE name = '{table}' AND sql LIKE '%AUTOINCREMENT%'
                 AND {last} > COALESCE((SELECT max(seq) FROM sqlite_sequence WHERE name = '{table}'), 0)"
            )
        }

        fn faults(connection: &mut SqliteConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
            async move {
                let mut found = Vec::new();
                for row in raw_sql("PRAGMA integrity_check(20)").fetch_all(&mut *connection).await?
                {
                    let said: String = row.try_get(0)?;
                    found.extend((said != "ok").then_some(said));
                }
                for row in raw_sql("PRAGMA foreign_key_check").fetch_all(&mut *connection).await? {
                    let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
                    found.push(format!(
                        "a row of {table} names a row of {parent} that is not there"
                    ));
                }
                Ok(found)
            }
            .boxed()
        }

        fn settle(_: &mut SqliteConnection) -> BoxFuture<'_, sqlx::Result<()>> {
            std::future::ready(Ok(())).boxed()
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use sqlx::{PgConnection, Postgres};

    use super::{
        AssertSqlSafe, BoxFuture, BoxStream, FutureExt, Row, StreamExt, Upkeep, query_with, raw_sql,
    };

    /// Constraints and indexes that PostgreSQL itself does not vouch for.
    const FAULTS: &str = "
        SELECT 'the constraint ' || conname || ' of ' || conrelid::regclass || ' was never verified'
        FROM pg_constraint WHERE NOT convalidated AND connamespace = current_schema()::regnamespace
        UNION ALL
        SELECT 'the index ' || indexrelid::regclass || ' was not built to its end; REINDEX it'
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace
        UNION ALL
        SELECT 'the trigger ' || tgname || ' of ' || tgrelid::regclass || ' is switched off'
        FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE tgenabled = 'D' AND relnamespace = current_schema()::regnamespace";

    impl Upkeep for Postgres {
        const HAS_SCHEMA: &'static str =
            "SELECT count(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";

        plain!();

        fn hush(connection: &mut PgConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
            async move {
                let texts = ["job", "event"].map(|table| {
                    raw_sql(AssertSqlSafe(format!("ALTER TABLE {table} DISABLE TRIGGER USER")))
                });
                for text in texts {
                    text.execute(&mut *connection).await?;
                }
                Ok(["job", "event"]
                    .map(|table| format!("ALTER TABLE {table} ENABLE TRIGGER USER"))
                    .into())
            }
            .boxed()
        }

        fn speak(
            connection: &mut PgConnection,
            hushed: Vec<String>,
        ) -> BoxFuture<'_, sqlx::Result<()>> {
            async move {
                for text in hushed {
                    raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await?;
                }
                Ok(())
            }
            .boxed()
        }

        fn last_number(table: &str) -> String {
            format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_id_seq")
        }

        fn set_last_number(table: &str, last: i64) -> String {
            format!("SELECT setval('{table}_id_seq', {last})")
        }

        fn faults(connection: &mut PgConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
            async move {
                let rows = raw_sql(FAULTS).fetch_all(connection).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            }
            .boxed()
        }

        fn settle(connection: &mut PgConnection) -> BoxFuture<'_, sqlx::Result<()>> {
            async move { raw_sql("ANALYZE").execute(connection).await.map(drop) }.boxed()
        }
    }
}
