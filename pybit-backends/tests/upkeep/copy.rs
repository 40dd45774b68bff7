//! A farm that moves to another engine is the same farm.

use std::path::Path;
use std::sync::Mutex;

use pybit_backends::sql::upkeep::{CopiedTable, Database, Progress, Step};
use pybit_core::conformance::support::{
    Store, at, bring, name, planned, planned_in, record, refusal, submit_one, take, target,
};
use pybit_core::model::{JobFilter, JobId, JobStatus, Page};
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::{ErrorKind, Result};
use sqlx::{Connection, PgConnection};

use crate::farm::{dump, made, run, settings};
use crate::support;

async fn copy(from: &Settings, to: &Settings) -> Result<Vec<CopiedTable>> {
    let (from, to) = (Database::open(from).await?, Database::open_or_make(to).await?);
    to.migrate().await?;
    let copied = from.copy_to(&to, &|_| {}).await;
    from.close().await;
    to.close().await;
    copied
}

async fn store(settings: &Settings) -> Store {
    let registry = Registry::<dyn Storage>::new("storage")
        .with(pybit_backends::sql::SqliteFactory)
        .with(pybit_backends::sql::PostgresFactory);
    registry.open(settings).await.unwrap()
}

/// An unused place for a farm in the same folder.
fn other(file: &Path) -> Settings {
    settings(&file.with_file_name("back/farm.db"))
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn there_and_back_gives_every_byte_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let before = dump(&file).await;
    let postgres = support::Database::empty().await;
    let there = copy(&settings(&file), &postgres.settings()).await.unwrap();
    let back = copy(&postgres.settings(), &other(&file)).await.unwrap();
    assert_eq!(there, back, "each table has the digest that it had");
    assert!(
        there.iter().all(|table| table.rows > 0),
        "the farm has something of everything: {there:?}"
    );
    assert_eq!(dump(&file).await, before, "the source is as it was");
    let after = dump(&file.with_file_name("back/farm.db")).await;
    assert!(before == after, "{}", difference(&before, &after));
}

fn difference(one: &str, other: &str) -> String {
    let differ = one.lines().zip(other.lines()).filter(|(a, b)| a != b);
    differ.map(|(a, b)| format!("- {a}\n+ {b}\n")).collect::<Vec<_>>().concat()
}

/// What is promised of a farm after its move: lists, counts, numbers that go on, claims.
async fn goes_on(store: &Store, jobs: usize) {
    let all = store.jobs(&JobFilter::default(), &Page::first(1000)).await.unwrap();
    assert_eq!(all.len(), jobs);
    let counts = store.counts().await.unwrap();
    for status in JobStatus::ALL {
        let there = all.iter().filter(|j| j.status == status).count();
        assert_eq!(counts.of(status), there as u64, "{status}");
        assert!(there > 0, "{status}");
    }
    assert_eq!(store.farm_id("another").await.unwrap(), "0123456789abcdef");
    assert!(store.token(&"0".repeat(64)).await.unwrap().is_some());
    let (account, hash) = store.account(&name("B.o_b-1")).await.unwrap().unwrap();
    assert!(account.disabled_at == Some(at(8)) && hash.expose().ends_with("B.o_b-1"));
    let hints = store.outbox(100).await.unwrap();
    let waiting = take(store, "new", target("i386")).await;
    assert_eq!((waiting.package.as_str(), waiting.attempt), ("keyed", 1));
    let lost = take(store, "new", target("riscv64")).await;
    assert_eq!(lost.attempt, 2, "the fence goes on");
    let fresh = submit_one(store, planned_in("fresh", "1", target("hurd"))).await;
    assert_eq!(fresh.id, JobId(i64::try_from(jobs).unwrap() + 1));
    let newest = store.outbox(100).await.unwrap().last().unwrap().id;
    assert!(
        newest > hints.last().unwrap().id + 1,
        "the number of a deleted hint is not given again"
    );
    bring(store, planned_in("done", "1", target("sparc64")), JobStatus::Done).await;
    let error = store.record_submission(&record(vec![planned("hello", "1")]), at(9)).await;
    refusal(error, ErrorKind::Conflict, "older_version");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn the_copy_takes_submissions_and_claims() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let postgres = support::Database::empty().await;
    let copied = copy(&settings(&file), &postgres.settings()).await.unwrap();
    let jobs = copied.iter().find(|t| t.table == "job").unwrap().rows;
    copy(&postgres.settings(), &other(&file)).await.unwrap();
    for settings in [postgres.settings(), other(&file)] {
        let database = Database::open(&settings).await.unwrap();
        let checked = database.check().await.unwrap();
        assert_eq!(checked.findings, [], "{settings:?}");
        database.close().await;
        goes_on(&store(&settings).await, usize::try_from(jobs).unwrap()).await;
        let database = Database::open(&settings).await.unwrap();
        assert_eq!(database.check().await.unwrap().findings, [], "{settings:?}");
    }
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    copy(&settings(&file), &other(&file)).await.unwrap();
    let there = file.with_file_name("back/farm.db");
    let before = dump(&there).await;
    let error = copy(&settings(&file), &other(&file)).await;
    refusal(error, ErrorKind::Conflict, "target_not_empty");
    assert_eq!(dump(&there).await, before);
    let error = copy(&settings(&file), &settings(&file)).await;
    refusal(error, ErrorKind::Conflict, "target_not_empty");
}

#[tokio::test]
async fn a_copy_tells_how_far_it_is_and_compares_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let from = Database::open(&settings(&file)).await.unwrap();
    let to = Database::open_or_make(&other(&file)).await.unwrap();
    to.migrate().await.unwrap();
    let seen: Mutex<Vec<Progress>> = Mutex::default();
    from.copy_to(&to, &|progress| seen.lock().unwrap().push(progress)).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by_key(|p| p.rows));
    let last = seen.last().unwrap();
    assert_eq!((last.rows, last.step), (last.total, Step::Compared));
}

#[tokio::test]
async fn a_farm_of_a_server_that_runs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let server = store(&settings(&file)).await;
    server.health().await.unwrap();
    let error = copy(&settings(&file), &other(&file)).await;
    let error = refusal(error, ErrorKind::Conflict, "database_in_use");
    let me = format!("process {}", std::process::id());
    assert!(error.message().contains(&me), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_farm_of_servers_that_run_is_refused_whatever_they_call_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pybit", "north"] {
        let postgres = support::Database::fresh().await;
        let mut named = postgres.settings();
        named.options.insert("application_name".to_owned(), name.into());
        let server = store(&named).await;
        submit_one(&server, planned("hello", "1")).await;
        // The server begins to listen by itself.
        let listening = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        let mut connection: PgConnection = PgConnection::connect(&postgres.url()).await.unwrap();
        pybit_core::conformance::support::within("its listener", async {
            while support::number(&mut connection, listening).await == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let to = settings(&folder.path().join(format!("{name}.db")));
        let error = copy(&postgres.settings(), &to).await;
        refusal(error, ErrorKind::Conflict, "database_in_use");
    }
}

#[tokio::test]
async fn another_version_of_the_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    let newer = "INSERT INTO _sqlx_migrations SELECT 99, description, installed_on, success, checksum, execution_time
                 FROM _sqlx_migrations WHERE version = 1";
    run(&file, newer).await;
    let error = copy(&settings(&file), &other(&file)).await;
    refusal(error, ErrorKind::Unsupported, "schema_too_new");
    run(&file, "DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let error = copy(&settings(&file), &other(&file)).await;
    let error = refusal(error, ErrorKind::Unsupported, "schema_too_old");
    assert!(error.message().contains("pybit storage migrate"), "{error}");
    let error = copy(&settings(&folder.path().join("none.db")), &other(&file)).await;
    refusal(error, ErrorKind::NotFound, "no_such_database");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_a_target_cannot_hold_leaves_it_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    run(&file, "UPDATE block_rule SET reason = 'a' || char(0) || 'b'").await;
    let postgres = support::Database::empty().await;
    let error = copy(&settings(&file), &postgres.settings()).await.unwrap_err();
    assert!(error.message().contains("block_rule"), "{error}");
    run(&file, "UPDATE block_rule SET reason = 'ab'").await;
    copy(&settings(&file), &postgres.settings()).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_copy_leaves_is_an_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    // More than the engine holds in memory before it writes to the disk.
    run(&file, "UPDATE submission SET principal = printf('%.*c', 1000000, 'x') WHERE id < 9").await;
    let (from, to) = (Database::open(&settings(&file)).await.unwrap(), other(&file));
    let target = Database::open_or_make(&to).await.unwrap();
    target.migrate().await.unwrap();
    let killed = tempfile::tempdir().unwrap();
    // What lies on the disk at this moment is what a killed process leaves.
    let kill = |progress: Progress| {
        if progress.table == "event" && progress.step == Step::Copied {
            for name in ["farm.db", "farm.db-wal"] {
                std::fs::copy(folder.path().join("back").join(name), killed.path().join(name))
                    .unwrap();
            }
        }
    };
    from.copy_to(&target, &kill).await.unwrap();
    let log = std::fs::metadata(killed.path().join("farm.db-wal")).unwrap();
    assert!(log.len() > 4_000_000, "rows are on the disk: {}", log.len());
    from.close().await;
    let left = settings(&killed.path().join("farm.db"));
    let database = Database::open(&left).await.unwrap();
    let checked = database.check().await.unwrap();
    database.close().await;
    assert_eq!((checked.findings, checked.rows.values().sum::<u64>()), (Vec::new(), 0));
    copy(&settings(&file), &left).await.unwrap();
    assert!(dump(&file).await == dump(&killed.path().join("farm.db")).await);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_copy_that_is_not_equal_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(folder.path()).await;
    for (table, rule) in [
        ("token", "CREATE RULE swallow AS ON INSERT TO token DO INSTEAD NOTHING"),
        ("farm", "CREATE RULE change AS ON INSERT TO farm DO ALSO UPDATE farm SET id = id || 'x'"),
    ] {
        let postgres = support::Database::fresh().await;
        postgres.run(rule).await.unwrap();
        let error = copy(&settings(&file), &postgres.settings()).await;
        let error = refusal(error, ErrorKind::Internal, "copy_differs");
        assert!(error.message().contains(table), "{error}");
        let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
        assert_eq!(support::number(&mut connection, "SELECT count(*) FROM job").await, 0);
    }
}
