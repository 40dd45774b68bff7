//! PostgreSQL as upkeep sees it.

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
    WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace";

const TABLES_WITH_TRIGGERS: &str = "
    SELECT DISTINCT relname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace ORDER BY 1";

impl Upkeep for Postgres {
    const HAS_SCHEMA: &'static str =
        "SELECT count(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";

    const TRIGGERS: &'static str = "
        SELECT tgname::text AS word FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE NOT tgisinternal AND tgenabled <> 'D' AND relnamespace = current_schema()::regnamespace";

    /// A server listens on one connection for as long as it runs, whatever it calls itself; other users' statements are
    /// not shown to everybody, so the usual name counts too. Upkeep has another one.
    const SERVERS: Option<&'static str> = Some(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
           AND (application_name = 'pybit' OR query LIKE 'LISTEN %pybit_changes%')",
    );

    const SETTLE: Option<&'static str> = Some("ANALYZE");

    plain!();

    fn hush(connection: &mut PgConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
        async move {
            let rows = raw_sql(TABLES_WITH_TRIGGERS).fetch_all(&mut *connection).await?;
            let mut texts = Vec::with_capacity(rows.len());
            for row in rows {
                let table: String = row.try_get(0)?;
                let hush = AssertSqlSafe(format!("ALTER TABLE {table} DISABLE TRIGGER USER"));
                raw_sql(hush).execute(&mut *connection).await?;
                texts.push(format!("ALTER TABLE {table} ENABLE TRIGGER USER"));
            }
            Ok(texts)
        }
        .boxed()
    }

    fn last_number(table: &str) -> String {
        format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_id_seq")
    }

    fn set_last_number(table: &str, last: i64) -> Vec<String> {
        vec![format!("SELECT setval('{table}_id_seq', {last})")]
    }

    fn faults(connection: &mut PgConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
        async move {
            let rows = raw_sql(FAULTS).fetch_all(connection).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        }
        .boxed()
    }
}
