//! SQLite as upkeep sees it.

use sqlx::{Sqlite, SqliteConnection};

use super::{
    AssertSqlSafe, BoxFuture, BoxStream, FutureExt, Row, StreamExt, Upkeep, query_with, raw_sql,
};

impl Upkeep for Sqlite {
    const HAS_SCHEMA: &'static str =
        "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";

    const TRIGGERS: &'static str = "SELECT name AS word FROM sqlite_schema WHERE type = 'trigger'";

    /// Locks of other processes are the kernel's to tell: see `users`.
    const SERVERS: Option<&'static str> = None;

    const SETTLE: Option<&'static str> = None;

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

    fn last_number(table: &str) -> String {
        format!(
            "SELECT max(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0),
                        COALESCE((SELECT max(id) FROM {table}), 0))"
        )
    }

    fn set_last_number(table: &str, last: i64) -> Vec<String> {
        // A table without AUTOINCREMENT has no row there, and goes on after its greatest number by itself.
        vec![
            format!("DELETE FROM sqlite_sequence WHERE name = '{table}'"),
            format!(
                "INSERT INTO sqlite_sequence (name, seq)
                 SELECT name, {last} FROM sqlite_schema WHERE name = '{table}' AND sql LIKE '%AUTOINCREMENT%'"
            ),
        ]
    }

    fn faults(connection: &mut SqliteConnection) -> BoxFuture<'_, sqlx::Result<Vec<String>>> {
        async move {
            let rows = raw_sql("PRAGMA integrity_check(20)").fetch_all(connection).await?;
            let said: sqlx::Result<Vec<String>> = rows.iter().map(|row| row.try_get(0)).collect();
            Ok(said?.into_iter().filter(|said| said != "ok").collect())
        }
        .boxed()
    }
}
