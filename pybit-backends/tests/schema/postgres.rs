//! PostgreSQL's schema: migrations, and what holds where the program fails.

use pybit_backends::sql::SqlStore;
use pybit_core::ErrorKind;
use pybit_core::conformance::support::together;
use pybit_core::model::JobStatus;
use pybit_core::storage::{AccountStore, JobStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};

use super::{Raw, assert_transitions_agree};
use crate::support::{Database, number};

async fn raw() -> PgConnection {
    PgConnection::connect(&Database::fresh().await.url()).await.unwrap()
}

impl Raw for PgConnection {
    async fn run(&mut self, sql: &str) -> sqlx::Result<u64> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self).await?;
        Ok(done.rows_affected())
    }

    async fn add_job(&mut self, status: &str) -> sqlx::Result<i64> {
        let submission =
            "INSERT INTO submission (request, principal, created_at) VALUES ('{}', 'me', now())";
        self.run(submission).await?;
        let job = format!(
            "INSERT INTO job (submission, kind, package, dist, suite, arch, format, env, master, status,
                              row_version, attempt, lease_epoch, infra_retries, dep_waits, lost_by,
                              not_before, priority, weight, unmet, produced, created_at, changed_at)
             VALUES ((SELECT max(id) FROM submission), 'binary', 'hello', 'Debian', 'sid', 'amd64', 'deb', 'host',
                     true, '{status}', 1, 0, 0, 0, 0, '[]', now(), 0, 0, '[]', '[]', now(), now())"
        );
        self.run(&job).await?;
        Ok(number(self, "SELECT max(id) FROM job").await)
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_trigger_and_the_transition_table_agree_on_every_pair() {
    let mut connection = raw().await;
    assert_transitions_agree(&mut connection).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn counts_are_right_however_often_they_were_summed_up() {
    let database = Database::fresh().await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    connection.add_job("Waiting").await.unwrap();
    let many = "INSERT INTO job (submission, kind, package, dist, suite, arch, format, env, master, status,
                    row_version, attempt, lease_epoch, infra_retries, dep_waits, lost_by,
                    not_before, priority, weight, unmet, produced, created_at, changed_at)
                SELECT submission, kind, package, dist, suite, arch, format, env, master, status,
                    row_version, attempt, lease_epoch, infra_retries, dep_waits, lost_by,
                    not_before, priority, weight, unmet, produced, created_at, changed_at
                FROM job, generate_series(1, 4999) WHERE id = 1";
    connection.run(many).await.unwrap();
    connection.run("UPDATE job SET status = 'Building' WHERE id % 5 = 0").await.unwrap();
    // Of six thousand changes some have summed up: one in five hundred does.
    let left = number(&mut connection, "SELECT count(*) FROM job_count_delta").await;
    assert!(left < 7000, "{left} rows wait to be summed up");
    let counts = database.store().await.counts().await.unwrap();
    let of = |status| counts.of(status);
    assert_eq!((of(JobStatus::Waiting), of(JobStatus::Building)), (4000, 1000));
    assert_eq!(counts.0.len(), 2);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn jobs_start_waiting_and_stay_and_events_are_only_ever_added() {
    let mut connection = raw().await;
    for status in &JobStatus::ALL[1..] {
        assert!(connection.add_job(status.as_str()).await.is_err(), "{status}");
    }
    let id = connection.add_job("Waiting").await.unwrap();
    assert!(connection.run("DELETE FROM job").await.is_err());
    let add =
        format!("INSERT INTO event VALUES ({id}, 1, 0, NULL, 'Waiting', 'me', 'submitted', now())");
    connection.run(&add).await.unwrap();
    assert!(connection.run(&add).await.is_err(), "numbered once");
    assert!(connection.run("UPDATE event SET cause = 'other'").await.is_err());
    assert!(connection.run("DELETE FROM event").await.is_err());
    assert_eq!(number(&mut connection, "SELECT count(*) FROM event").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn servers_that_start_together_migrate_once() {
    let database = Database::empty().await;
    let settings = database.settings();
    let stores = together(6, |_| {
        let settings = settings.clone();
        async move { SqlStore::<Postgres>::open(&settings).await }
    })
    .await;
    for store in stores {
        store.unwrap().health().await.unwrap();
    }
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let newest = number(&mut connection, "SELECT max(version) FROM _sqlx_migrations").await;
    assert_eq!(newest, SqlStore::<Postgres>::known_version());
    let written = "SELECT max(xmin::text::bigint) FROM _sqlx_migrations";
    let before = number(&mut connection, written).await;
    database.store().await;
    let after = number(&mut connection, written).await;
    assert_eq!(before, after, "a later open migrates nothing");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_newer_schema_is_refused_by_name() {
    let database = Database::fresh().await;
    for version in [90, 97] {
        let row = format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ({version}, 'later', true, '\\x00', 0)"
        );
        database.run(&row).await.unwrap();
    }
    let error = SqlStore::<Postgres>::open(&database.settings()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "schema_too_new"));
    assert!(
        error.message().contains("version 97") && error.message().contains("up to 12"),
        "{error}"
    );
    let password = url::Url::parse(&database.url()).unwrap().password().unwrap().to_owned();
    assert!(!format!("{error:?}").contains(&password));
}
