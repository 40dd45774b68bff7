//! Both engines keep the same tables: columns, keys, references, indexes, triggers and the rows that a migration adds.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

use super::sqlite;
use crate::support::Database;

/// What is compared of a table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// By name: the type, and whether it may be NULL.
    columns: BTreeMap<String, (String, bool)>,
    /// The columns of the primary key and of each unique constraint.
    keys: BTreeSet<Vec<String>>,
    /// Columns, the other table, its columns.
    references: BTreeSet<(Vec<String>, String, Vec<String>)>,
    /// By name: unique or not, the columns with their direction, the words of the condition.
    indexes: BTreeMap<String, (bool, Vec<String>, BTreeSet<String>)>,
    triggers: BTreeSet<String>,
    checks: i64,
}

type Schema = BTreeMap<String, Table>;

/// What only PostgreSQL has: rows of its own for each transaction that counts.
const ONLY_POSTGRES: &str = "job_count_delta";

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn words(condition: &str) -> BTreeSet<String> {
    let quoted = Regex::new("'([A-Za-z]+)'").unwrap();
    let columns = Regex::new(r"\b(status|kind|client|role|object|outcome|NOT|NULL)\b").unwrap();
    let found = quoted.captures_iter(condition).chain(columns.captures_iter(condition));
    found.map(|w| w[1].to_owned()).collect()
}

async fn sqlite_rows(c: &mut SqliteConnection, sql: &str) -> Vec<Vec<String>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(c).await.unwrap();
    let text =
        |row: &sqlx::sqlite::SqliteRow, n| row.get::<Option<String>, _>(n).unwrap_or_default();
    rows.iter().map(|row| (0..row.len()).map(|n| text(row, n)).collect()).collect()
}

async fn postgres_rows(c: &mut PgConnection, sql: &str) -> Vec<Vec<String>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(c).await.unwrap();
    let text = |row: &sqlx::postgres::PgRow, n| row.get::<Option<String>, _>(n).unwrap_or_default();
    rows.iter().map(|row| (0..row.len()).map(|n| text(row, n)).collect()).collect()
}

async fn of_sqlite(c: &mut SqliteConnection) -> Schema {
    let mut schema = Schema::new();
    let tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'
                  AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> '_sqlx_migrations'";
    for table in sqlite_rows(c, tables).await {
        let name = &table[0];
        let mut described = Table::default();
        let booleans = table[1].matches("IN (0, 1)").count();
        described.checks = i64::try_from(table[1].matches("CHECK").count() - booleans).unwrap();
        let columns = format!(
            "SELECT name, type, CAST((\"notnull\" OR pk > 0) AS TEXT) FROM pragma_table_info('{name}')"
        );
        for column in sqlite_rows(c, &columns).await {
            described.columns.insert(column[0].clone(), (column[1].clone(), column[2] == "0"));
        }
        let key = format!(
            "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info('{name}') WHERE pk > 0 ORDER BY pk)"
        );
        described.keys.extend(sqlite_rows(c, &key).await.iter().map(|row| list(&row[0])));
        let references = format!(
            "SELECT group_concat(\"from\"), \"table\", group_concat(\"to\")
             FROM (SELECT * FROM pragma_foreign_key_list('{name}') ORDER BY id, seq) GROUP BY id"
        );
        for row in sqlite_rows(c, &references).await {
            described.references.insert((list(&row[0]), row[1].clone(), list(&row[2])));
        }
        let indexes = format!(
            "SELECT l.name, l.origin, CAST(l.\"unique\" AS TEXT),
                    (SELECT group_concat(x.name || CASE x.desc WHEN 1 THEN ' desc' ELSE '' END)
                     FROM pragma_index_xinfo(l.name) x WHERE x.key = 1),
                    (SELECT s.sql FROM sqlite_schema s WHERE s.name = l.name)
             FROM pragma_index_list('{name}') l"
        );
        for row in sqlite_rows(c, &indexes).await {
            if row[1] == "c" {
                let condition = row[4].split_once("WHERE").map_or("", |(_, w)| w);
                let index = (row[2] == "1", list(&row[3]), words(condition));
                described.indexes.insert(row[0].clone(), index);
            } else {
                described.keys.insert(list(&row[3]));
            }
        }
        let triggers = format!(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{name}'"
        );
        described.triggers.extend(sqlite_rows(c, &triggers).await.into_iter().flatten());
        schema.insert(name.clone(), described);
    }
    schema
}

async fn of_postgres(c: &mut PgConnection) -> Schema {
    let mut schema = Schema::new();
    let columns = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text,
                          coalesce(collation_name, '')::text
                   FROM information_schema.columns
                   WHERE table_schema = 'public' AND table_name NOT IN ('_sqlx_migrations', 'job_count_delta')";
    for row in postgres_rows(c, columns).await {
        let kind = match row[2].as_str() {
            "bigint" | "boolean" | "timestamp with time zone" => "INTEGER",
            "text" => "TEXT",
            "bytea" => "BLOB",
            other => other,
        };
        assert_eq!(
            row[4],
            if kind == "TEXT" { "C" } else { "" },
            "text has the order of its bytes: {row:?}"
        );
        let table = schema.entry(row[0].clone()).or_default();
        table.columns.insert(row[1].clone(), (kind.to_owned(), row[3] == "YES"));
    }
    let constraints = "SELECT r.relname::text, o.contype::text, coalesce(f.relname::text, ''),
            (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(o.conkey) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.num),
            (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(o.confkey) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.num)
        FROM pg_constraint o JOIN pg_class r ON r.oid = o.conrelid LEFT JOIN pg_class f ON f.oid = o.confrelid
        WHERE r.relnamespace = 'public'::regnamespace AND r.relname <> '_sqlx_migrations'";
    for row in postgres_rows(c, constraints).await {
        let table = schema.get_mut(&row[0]).unwrap();
        match row[1].as_str() {
            "p" | "u" => drop(table.keys.insert(list(&row[3]))),
            "f" => drop(table.references.insert((list(&row[3]), row[2].clone(), list(&row[4])))),
            "c" => table.checks += 1,
            other => panic!("a constraint of kind {other}"),
        }
    }
    let indexes = "SELECT t.relname::text, i.relname::text, x.indisunique::text,
            (SELECT string_agg(a.attname || CASE WHEN x.indoption[k.n - 1] & 1 = 1 THEN ' desc' ELSE '' END, ',' ORDER BY k.n)
             FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(num, n)
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.num),
            coalesce(pg_get_expr(x.indpred, x.indrelid), '')
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> '_sqlx_migrations'
          AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.oid AND contype IN ('p', 'u'))";
    for row in postgres_rows(c, indexes).await {
        let index = (row[2] == "true", list(&row[3]), words(&row[4]));
        schema.get_mut(&row[0]).unwrap().indexes.insert(row[1].clone(), index);
    }
    let triggers = "SELECT r.relname::text, t.tgname::text FROM pg_trigger t
                    JOIN pg_class r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal";
    for row in postgres_rows(c, triggers).await {
        schema.get_mut(&row[0]).unwrap().triggers.insert(row[1].clone());
    }
    schema
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn both_engines_keep_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let mut lite = sqlite::raw(&sqlite::made(folder.path()).await).await;
    let mut post = PgConnection::connect(&Database::fresh().await.url()).await.unwrap();
    let (one, other) = (of_sqlite(&mut lite).await, of_postgres(&mut post).await);
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (name, table) in &one {
        // PostgreSQL writes NOT IN as <> ALL, so the word NOT is in no condition of its own.
        let plain = |table: &Table| {
            let index = |(unique, columns, words): &(bool, Vec<String>, BTreeSet<String>)| {
                let words: BTreeSet<_> = words.iter().filter(|w| *w != "NOT").cloned().collect();
                (*unique, columns.clone(), words)
            };
            let indexes = table.indexes.iter().map(|(name, i)| (name.clone(), index(i)));
            indexes.collect::<BTreeMap<_, _>>()
        };
        assert_eq!(plain(table), plain(&other[name]), "the indexes of {name}");
        assert_eq!(table.columns, other[name].columns, "the columns of {name}");
        assert_eq!(table.keys, other[name].keys, "the keys of {name}");
        assert_eq!(table.references, other[name].references, "the references of {name}");
        assert_eq!(table.triggers, other[name].triggers, "the triggers of {name}");
        assert_eq!(table.checks, other[name].checks, "the checks of {name}");
    }
    for rows in [
        "SELECT from_status, to_status FROM job_transition ORDER BY 1, 2",
        "SELECT status, CAST(jobs AS TEXT) FROM job_count ORDER BY 1",
        "SELECT CAST(version AS TEXT), description FROM _sqlx_migrations ORDER BY 1",
    ] {
        assert_eq!(
            sqlite_rows(&mut lite, rows).await,
            postgres_rows(&mut post, rows).await,
            "{rows}"
        );
    }
    let delta = format!("SELECT CAST(count(*) AS TEXT) FROM {ONLY_POSTGRES}");
    assert_eq!(postgres_rows(&mut post, &delta).await, [["0"]]);
}
