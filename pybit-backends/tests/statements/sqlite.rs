//! The catalogue on SQLite.

use std::path::Path;

use pybit_backends::sql::statements::ALL;
use pybit_backends::sql::{Engine, SqlStore, Statement};
use pybit_core::settings::Settings;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Either, Executor, Row, SqlSafeStr, Sqlite, Statement as _};

use super::named;

pub(super) async fn fresh(folder: &Path) -> SqliteConnection {
    let file = folder.join("farm.db");
    let store = SqlStore::<Sqlite>::open(&Settings::url(format!("sqlite://{}", file.display())))
        .await
        .unwrap();
    store.close().await;
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
}

async fn plan(connection: &mut SqliteConnection, statement: &Statement) -> Vec<String> {
    let text = format!("EXPLAIN QUERY PLAN {}", statement.text(Engine::Sqlite));
    let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect()
}

#[tokio::test]
async fn statements_prepare() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    for statement in ALL {
        let text = statement.text(Engine::Sqlite);
        let prepared = connection.prepare(text.into_sql_str()).await;
        let prepared = prepared.unwrap_or_else(|e| panic!("{}: {e}", statement.name()));
        let params = prepared.parameters().map(|p| match p {
            Either::Left(types) => types.len(),
            Either::Right(count) => count,
        });
        assert_eq!(params, Some(statement.params()), "{}", statement.name());
    }
}

#[tokio::test]
async fn no_statement_walks_the_table_of_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    // The plan of an insert shows a walk for the job's references to other jobs; SQLite skips it unless a reference is
    // open at that moment, and the store only ever refers to jobs that are there.
    for statement in ALL.iter().filter(|s| !matches!(s.name(), "job_add" | "jobs_add")) {
        for line in plan(&mut connection, statement).await {
            let walks = ["SCAN job", "SCAN event", "SCAN attempt", "SCAN stream"]
                .iter()
                .any(|scan| line == *scan || line.starts_with(&format!("{scan} ")));
            assert!(!walks || line.contains(" INDEX "), "{}: {line}", statement.name());
        }
    }
}

/// Without statistics SQLite may take the condition of a table for narrower than the list's numbers, and reads the list anew for
/// each of its rows.
#[tokio::test]
async fn lists_of_rows_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    let lists = ALL.iter().filter(|s| s.text(Engine::Sqlite).contains("json_each($1) AS r"));
    let mut seen = 0;
    for statement in lists {
        let plan = plan(&mut connection, statement).await;
        let place = plan.iter().position(|line| line.starts_with("SCAN r ")).unwrap();
        let within = place.checked_sub(1).map_or("nothing", |before| &plan[before]);
        let is_once =
            ["nothing", "CO-ROUTINE", "LIST SUBQUERY"].iter().any(|w| within.starts_with(w));
        assert!(is_once, "{}: {plan:#?}", statement.name());
        seen += 1;
    }
    assert!(seen > 10, "{seen} statements take a list of rows");
}

/// Each statement, and the step that its plan must hold.
const PLANS: &[(&str, &str)] = &[
    (
        "job_candidate",
        "SEARCH job USING INDEX job_claim (dist=? AND suite=? AND arch=? AND format=? AND env=?)",
    ),
    ("jobs_claim", "SEARCH job USING INTEGER PRIMARY KEY (rowid=?)"),
    ("ahead_of", "SEARCH job USING COVERING INDEX job_claim"),
    ("due_routes", "SCAN job USING COVERING INDEX job_claim"),
    (
        "jobs_superseded",
        "SEARCH job USING INDEX job_unfinished (package=? AND dist=? AND suite=? AND arch=? AND format=? AND env=? AND version_key<?)",
    ),
    (
        "package_newest",
        "SEARCH job USING INDEX job_version (package=? AND dist=? AND suite=? AND format=?",
    ),
    (
        "job_newer_version",
        "SEARCH job USING INDEX job_version (package=? AND dist=? AND suite=? AND format=? AND version_key>?)",
    ),
    (
        "job_same_version",
        "SEARCH job USING INDEX job_version (package=? AND dist=? AND suite=? AND format=? AND version_key=?)",
    ),
    ("jobs", "SEARCH job USING INTEGER PRIMARY KEY"),
    ("jobs_of_submission", "SEARCH job USING INDEX job_by_submission (submission=? AND id<?)"),
    ("jobs_of_package", "SEARCH job USING INDEX job_by_package (package=? AND id<?)"),
    ("jobs_of_client", "SEARCH job USING INDEX job_by_client (client=? AND id<?)"),
    ("jobs_in_status", "SEARCH job USING INDEX job_by_status (status=? AND id<?)"),
    ("jobs_in_suite", "SEARCH job USING INDEX job_by_suite (suite=?"),
    ("jobs_of_arch", "SEARCH job USING INDEX job_by_arch (arch=? AND id<?)"),
    (
        "jobs_uploaded",
        "SEARCH job USING INDEX job_uploaded (dist=? AND suite=? AND format=? AND id>?)",
    ),
    ("jobs_unpublishable", "SEARCH job USING INDEX job_by_status (status=?)"),
    ("jobs_blocked", "SEARCH job USING INDEX job_by_status (status=? AND id>?)"),
    ("leases", "SEARCH job USING INDEX job_by_status (status=?)"),
    ("held_by_client", "SEARCH job USING INDEX job_held (client=? AND status=?)"),
    ("clients", "SEARCH job USING COVERING INDEX job_held (client=? AND status=?)"),
    ("logs_to_seal", "stream_log_to_seal"),
    ("objects_of", "SEARCH stream USING INDEX stream_whole (sha256=?)"),
    ("files_unfinished", "stream_unfinished"),
    ("parts", "SEARCH stream_part USING PRIMARY KEY (stream=? AND start_at>?)"),
];

#[tokio::test]
async fn hot_statements_use_the_index_made_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = fresh(folder.path()).await;
    for (name, step) in PLANS {
        let plan = plan(&mut connection, named(name)).await;
        assert!(plan.iter().any(|line| line.contains(step)), "{name}: {plan:#?}");
    }
    let in_order = [
        "job_candidate",
        "jobs",
        "jobs_of_submission",
        "jobs_of_package",
        "jobs_in_status",
        "package_newest",
        "jobs_uploaded",
    ];
    for name in in_order {
        let plan = plan(&mut connection, named(name)).await;
        assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{name}: {plan:#?}");
    }
}
