//! Damage of every kind is found, and a farm in order has none.

use std::collections::BTreeSet;
use std::path::Path;

use pybit_backends::sql::upkeep::tables::{REFERENCES, TABLES};
use pybit_backends::sql::upkeep::{Database, Finding, rule_names};
use pybit_core::settings::Settings;

use crate::farm::{made, raw, rows, run, settings};
use crate::support;

/// What breaks a rule, in SQL that every engine reads, and how a row that is found begins.
const DAMAGE: &[(&str, &str, &str)] = &[
    ("event_gap", "job 2", "DELETE FROM event WHERE job = 2 AND number = 2"),
    ("event_newest", "job 1", "UPDATE job SET row_version = 2 WHERE id = 1"),
    ("event_status", "job 7", "UPDATE job SET status = 'Uploaded' WHERE id = 7"),
    (
        "event_chain",
        "event 3/2",
        "UPDATE event SET from_status = 'Blocked' WHERE job = 3 AND number = 2",
    ),
    (
        "event_chain",
        "event 1/1",
        "UPDATE event SET to_status = 'Blocked' WHERE job = 1 AND number = 1",
    ),
    (
        "event_illegal",
        "event 3/2",
        "UPDATE event SET to_status = 'Done' WHERE job = 3 AND number = 2",
    ),
    ("event_attempt", "event 5/2", "UPDATE event SET attempt = 9 WHERE job = 5 AND number = 2"),
    ("event_attempt", "event 5/3", "UPDATE event SET attempt = 0 WHERE job = 5 AND number = 3"),
    ("attempt_gap", "job 5", "UPDATE attempt SET number = 2 WHERE job = 5"),
    ("attempt_newest", "job 5", "UPDATE job SET attempt = 2 WHERE id = 5"),
    (
        "attempt_open",
        "attempt 7/1",
        "UPDATE attempt SET outcome = NULL, ended_at = NULL WHERE job = 7",
    ),
    ("job_held", "job 3", "UPDATE job SET client = NULL WHERE id = 3"),
    ("job_held", "job 4", "UPDATE attempt SET client = 'other' WHERE job = 4"),
    (
        "job_held",
        "job 3",
        "UPDATE attempt SET outcome = 'lost', ended_at = started_at WHERE job = 3",
    ),
    ("result_unproven", "job 6", "UPDATE attempt SET outcome = 'failed' WHERE job = 6"),
    ("result_dropped", "attempt 8/1", "UPDATE attempt SET outcome = 'succeeded' WHERE job = 8"),
    ("job_names", "job 1", "UPDATE job SET retries_of = 1 WHERE id = 1"),
    ("job_names", "job 2", "UPDATE job SET source_job = 1 WHERE id = 2"),
    ("job_names", "job 6", "UPDATE job SET superseded_by = 7 WHERE id = 6"),
    (
        "package_head",
        "package hello",
        "UPDATE package_head SET newest_job = 1 WHERE package = 'hello'",
    ),
    ("package_head", "package keyed", "DELETE FROM package_head WHERE package = 'keyed'"),
    ("submission_jobs", "submission ", "UPDATE idempotency SET planned = 99"),
    (
        "stream_length",
        "stream ",
        "UPDATE stream SET length = length + 1 WHERE role = 'log' AND object IS NULL",
    ),
    ("stream_gap", "part ", "UPDATE stream_part SET start_at = 11 WHERE start_at = 10"),
    ("stream_gap", "part ", "DELETE FROM stream_part WHERE start_at = 10"),
    (
        "stream_left_over",
        "stream ",
        "INSERT INTO stream_part SELECT id, 0, 1, 'left' FROM stream WHERE object IS NOT NULL",
    ),
    (
        "stream_size",
        "stream ",
        "UPDATE stream SET length = 2 WHERE role = 'file' AND object IS NOT NULL",
    ),
    (
        "stream_size",
        "stream ",
        "UPDATE stream SET sha256 = NULL WHERE role = 'log' AND object IS NOT NULL",
    ),
    (
        "result_incomplete",
        "stream ",
        "UPDATE stream SET object = NULL WHERE role = 'file' AND object IS NOT NULL",
    ),
    ("attempt_log", "attempt 3/1", "DELETE FROM stream WHERE job = 3"),
    ("token_digest", "token 1", "UPDATE token SET sha256 = 'plain' WHERE id = 1"),
    ("job_count", "Done", "UPDATE job_count SET jobs = jobs + 1 WHERE status = 'Done'"),
    (
        "transition",
        "Cancelling to Cancelled",
        "DELETE FROM job_transition WHERE from_status = 'Cancelling'",
    ),
    ("transition", "Done to Waiting", "INSERT INTO job_transition VALUES ('Done', 'Waiting')"),
    ("unreadable", "job 1", "UPDATE job SET lost_by = '[' WHERE id = 1"),
    ("unreadable", "client box", "UPDATE client SET offers = '{}' WHERE name = 'box'"),
    ("unreadable", "submission 1", "UPDATE submission SET request = '{}' WHERE id = 1"),
    ("unreadable", "package_order 1", "UPDATE package_order SET packages = '{}' WHERE id = 1"),
    ("unreadable", "account ann", "UPDATE account SET hash = 'plain' WHERE name = 'ann'"),
    ("unreadable", "job 1", "UPDATE job SET package = 'No Name!' WHERE id = 1"),
    ("name_conflict", "main y", "INSERT INTO published VALUES ('main', 'y', '3', 'arm64', 'b')"),
];

/// One row of each table that names another names one that is not there.
fn orphans() -> Vec<(String, String)> {
    let orphan = |r: &pybit_backends::sql::upkeep::tables::Reference| {
        let table = TABLES.iter().find(|t| t.name == r.table).unwrap();
        let (key, column) = (table.key.join(", "), r.columns[0]);
        let sql = format!(
            "UPDATE {0} SET {column} = 987654 WHERE ({key}) = (SELECT {key} FROM {0} WHERE {column} IS NOT NULL LIMIT 1)",
            r.table
        );
        (format!("{} ", r.table), sql)
    };
    REFERENCES.iter().map(orphan).collect()
}

async fn findings(settings: &Settings) -> Vec<Finding> {
    let database = Database::open(settings).await.unwrap();
    let checked = database.check().await.unwrap();
    database.close().await;
    assert_eq!(checked.rows.len(), TABLES.len());
    checked.findings
}

/// The finding is there, with the row, and says what to do.
fn assert_found(found: &[Finding], rule: &str, row: &str, damage: &str) {
    let rows = |f: &Finding| f.rows.iter().any(|r| r.row.starts_with(row) && !r.found.is_empty());
    let seen =
        found.iter().any(|f| f.rule == rule && rows(f) && f.advice.len() > 20 && f.count > 0);
    assert!(seen, "{damage}\nis not found as {rule} of {row}: {found:#?}");
}

/// Triggers would refuse the damage; afterwards they are there again.
async fn harm(file: &Path, sql: &str) {
    let mut connection = raw(file).await;
    let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'".to_owned();
    let triggers = rows(&mut connection, triggers).await;
    let split = triggers.iter().map(|trigger| trigger.split_once('|').unwrap());
    let (before, after): (Vec<_>, Vec<_>) =
        split.map(|(name, text)| (format!("DROP TRIGGER {name};"), format!("{text};"))).unzip();
    let (before, after) = (before.concat(), after.concat());
    run(file, &format!("PRAGMA ignore_check_constraints = ON; {before} {sql}; {after}")).await;
}

#[tokio::test]
async fn a_farm_in_order_has_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    assert_eq!(findings(&settings(&file)).await, []);
}

/// The farm in order allows `x` of `main` to go from `a` to `b`.
#[tokio::test]
async fn a_name_of_two_sources_that_a_move_allows_is_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    harm(&file, "INSERT INTO published VALUES ('main', 'x', '3', 'arm64', 'b')").await;
    assert_eq!(findings(&settings(&file)).await, []);
    harm(&file, "INSERT INTO published VALUES ('main', 'x', '3', 'riscv64', 'c')").await;
    assert_found(&findings(&settings(&file)).await, "name_conflict", "main x", "a third source");
}

#[tokio::test]
async fn damage_of_a_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path()).await;
    let orphans = orphans();
    let orphans = orphans.iter().map(|(row, sql)| ("reference", row.as_str(), sql.as_str()));
    for (rule, row, sql) in DAMAGE.iter().copied().chain(orphans) {
        let file = folder.path().join("harmed.db");
        std::fs::copy(&whole, &file).unwrap();
        harm(&file, sql).await;
        assert_found(&findings(&settings(&file)).await, rule, row, sql);
    }
    let file = folder.path().join("harmed.db");
    std::fs::copy(&whole, &file).unwrap();
    run(&file, "DROP TRIGGER event_is_kept").await;
    assert_found(&findings(&settings(&file)).await, "trigger", "trigger event_is_kept", "DROP");
}

#[tokio::test]
async fn a_damaged_page_is_found_and_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let mut connection = raw(&file).await;
    let page =
        "SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE name = 'job_by_arch'".to_owned();
    let page: u64 = rows(&mut connection, page).await[0].parse().unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let start = usize::try_from((page - 1) * 4096).unwrap();
    bytes[start..start + 64].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let damaged = Database::open(&settings(&file)).await.unwrap();
    let found = damaged.check().await.unwrap().findings;
    damaged.close().await;
    assert_found(&found, "engine", "SQLite", "a page");
    let from = Database::open(&settings(&file)).await.unwrap();
    let to = Database::open_or_make(&settings(&folder.path().join("to.db"))).await.unwrap();
    to.migrate().await.unwrap();
    let error = from.copy_to(&to, &|_| {}).await.unwrap_err();
    assert_eq!(error.code(), "database_damaged");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn damage_of_a_postgres_database_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let from = Database::open(&settings(&made(folder.path()).await)).await.unwrap();
    let whole = support::Database::empty().await;
    let to = Database::open(&whole.settings()).await.unwrap();
    to.migrate().await.unwrap();
    from.copy_to(&to, &|_| {}).await.unwrap();
    to.close().await;
    assert_eq!(findings(&whole.settings()).await, []);
    let orphans = orphans();
    let orphans = orphans.iter().map(|(row, sql)| ("reference", row.as_str(), sql.as_str()));
    let own = [
        ("trigger", "trigger event_is_kept", "ALTER TABLE event DISABLE TRIGGER event_is_kept"),
        ("number", "table job", "SELECT setval('job_id_seq', 1)"),
        (
            "engine",
            "PostgreSQL",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'job_by_arch'::regclass",
        ),
        (
            "engine",
            "PostgreSQL",
            "UPDATE pg_constraint SET convalidated = false WHERE conname = 'outbox_job_fkey'",
        ),
        ("job_count", "Waiting", "INSERT INTO job_count_delta VALUES ('Waiting', -1)"),
    ];
    for (rule, row, sql) in DAMAGE.iter().copied().chain(orphans).chain(own) {
        let name = format!("{}_harmed", whole.0);
        let make = format!("CREATE DATABASE {name} TEMPLATE {}", whole.0);
        support::run(&support::server(), &make).await.unwrap();
        let harmed = support::Database(name);
        harmed.run(&format!("SET session_replication_role = replica; {sql}")).await.unwrap();
        assert_found(&findings(&harmed.settings()).await, rule, row, sql);
        harmed.drop().await;
    }
    let planted = DAMAGE.iter().map(|d| d.0).chain(own.map(|d| d.0)).chain(["reference"]);
    assert_eq!(planted.collect::<BTreeSet<_>>(), rule_names().collect(), "each has been planted");
}
