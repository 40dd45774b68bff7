//! SQLite's schema: migrations, and what holds where the program fails.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pybit_backends::sql::SqlStore;
use pybit_core::ErrorKind;
use pybit_core::model::JobStatus;
use pybit_core::settings::Settings;
use pybit_core::storage::{AccountStore, JobStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row, Sqlite};

use super::{Raw, assert_transitions_agree};

fn settings(file: &Path) -> Settings {
    Settings::url(format!("sqlite://{}", file.display()))
}

pub(super) async fn made(folder: &Path) -> PathBuf {
    let file = folder.join("deep/farm.db");
    SqlStore::<Sqlite>::open(&settings(&file)).await.unwrap().close().await;
    file
}

pub(super) async fn raw(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).foreign_keys(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn number(connection: &mut SqliteConnection, sql: &str) -> i64 {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap();
    rows.get(0)
}

impl Raw for SqliteConnection {
    async fn run(&mut self, sql: &str) -> sqlx::Result<u64> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self).await?;
        Ok(done.rows_affected())
    }

    async fn add_job(&mut self, status: &str) -> sqlx::Result<i64> {
        self.run("INSERT INTO submission (request, principal, created_at) VALUES ('{}', 'me', 0)")
            .await?;
        let job = format!(
            "INSERT INTO job (submission, kind, package, dist, suite, arch, format, env, master, status,
                              row_version, attempt, lease_epoch, infra_retries, dep_waits, lost_by,
                              not_before, priority, weight, unmet, produced, created_at, changed_at)
             VALUES (1, 'binary', 'hello', 'Debian', 'sid', 'amd64', 'deb', 'host', 1, '{status}',
                     1, 0, 0, 0, 0, '[]', 0, 0, 0, '[]', '[]', 0, 0)"
        );
        self.run(&job).await?;
        Ok(number(self, "SELECT max(id) FROM job").await)
    }
}

#[tokio::test]
async fn a_second_open_migrates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let applied = "SELECT count(*) * 1000000 + total(installed_on) FROM (SELECT strftime('%s', installed_on) AS installed_on FROM _sqlx_migrations)";
    let before: f64 = {
        let row = sqlx::raw_sql(AssertSqlSafe(applied.to_owned()))
            .fetch_one(&mut raw(&file).await)
            .await
            .unwrap();
        row.get(0)
    };
    let store = SqlStore::<Sqlite>::open(&settings(&file)).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), 12);
    store.close().await;
    let after: f64 = {
        let row = sqlx::raw_sql(AssertSqlSafe(applied.to_owned()))
            .fetch_one(&mut raw(&file).await)
            .await
            .unwrap();
        row.get(0)
    };
    assert!((before - after).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    for version in [90, 97] {
        let row = format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ({version}, 'later', true, x'00', 0)"
        );
        raw(&file).await.run(&row).await.unwrap();
    }
    let error = SqlStore::<Sqlite>::open(&settings(&file)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "schema_too_new"));
    assert!(
        error.message().contains("version 97") && error.message().contains("up to 12"),
        "{error}"
    );
}

#[tokio::test]
async fn the_trigger_and_the_transition_table_agree_on_every_pair() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = raw(&made(folder.path()).await).await;
    assert_transitions_agree(&mut connection).await;
    for status in JobStatus::ALL {
        let counted = format!("SELECT jobs FROM job_count WHERE status = '{status}'");
        let there = format!("SELECT count(*) FROM job WHERE status = '{status}'");
        let counted = number(&mut connection, &counted).await;
        assert_eq!(counted, number(&mut connection, &there).await, "{status}");
    }
}

#[tokio::test]
async fn jobs_start_waiting_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = raw(&made(folder.path()).await).await;
    for status in &JobStatus::ALL[1..] {
        assert!(connection.add_job(status.as_str()).await.is_err(), "{status}");
    }
    connection.add_job("Waiting").await.unwrap();
    assert!(connection.run("DELETE FROM job").await.is_err());
    assert!(connection.run("UPDATE job SET priority = 'high'").await.is_err(), "STRICT");
}

#[tokio::test]
async fn events_are_only_ever_added() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = raw(&made(folder.path()).await).await;
    let id = connection.add_job("Waiting").await.unwrap();
    let add =
        format!("INSERT INTO event VALUES ({id}, 1, 0, NULL, 'Waiting', 'me', 'submitted', 0)");
    connection.run(&add).await.unwrap();
    assert!(connection.run(&add).await.is_err(), "numbered once");
    assert!(connection.run("UPDATE event SET cause = 'other'").await.is_err());
    assert!(connection.run("DELETE FROM event").await.is_err());
    assert_eq!(number(&mut connection, "SELECT count(*) FROM event").await, 1);
}

#[tokio::test]
async fn what_is_not_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("farm.db");
    std::fs::write(&file, "x".repeat(9000)).unwrap();
    let error = SqlStore::<Sqlite>::open(&settings(&file)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
}

#[tokio::test]
async fn a_database_damaged_by_an_unclean_stop_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let mut connection = raw(&file).await;
    for _ in 0..300 {
        connection.add_job("Waiting").await.unwrap();
    }
    connection.run("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    let page =
        number(&mut connection, "SELECT rootpage FROM sqlite_schema WHERE name = 'job'").await;
    connection.close().await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let start = usize::try_from((page - 1) * 4096).unwrap();
    bytes[start..start + 64].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let store = SqlStore::<Sqlite>::open(&settings(&file)).await;
    assert!(store.is_ok(), "a clean stop is not checked");
    store.unwrap().close().await;
    std::fs::write(file.with_extension("db-wal"), "left over").unwrap();
    let error = SqlStore::<Sqlite>::open(&settings(&file)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "database_damaged"), "{error:?}");
}

#[tokio::test]
async fn a_fresh_farm_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqlStore::<Sqlite>::open(&settings(&folder.path().join("x.db"))).await.unwrap();
    assert!(store.counts().await.unwrap().0.is_empty());
    assert!(store.leases().await.unwrap().is_empty());
    store.close().await;
}
