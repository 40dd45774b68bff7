//! The catalogue on PostgreSQL.

use pybit_backends::sql::statements::{ALL, OF_POSTGRES};
use pybit_backends::sql::{Engine, Statement};
use sqlx::{
    AssertSqlSafe, Column, Connection, Either, Executor, PgConnection, Row, SqlSafeStr,
    Statement as _,
};

use super::{named, sqlite};
use crate::support::Database;

async fn fresh() -> PgConnection {
    PgConnection::connect(&Database::fresh().await.url()).await.unwrap()
}

fn names(columns: &[impl Column]) -> Vec<String> {
    columns.iter().map(|c| c.name().to_owned()).collect()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn statements_prepare_and_return_the_columns_that_sqlite_returns() {
    let folder = tempfile::tempdir().unwrap();
    let (mut lite, mut connection) = (sqlite::fresh(folder.path()).await, fresh().await);
    for statement in ALL.iter().chain(OF_POSTGRES) {
        let name = statement.name();
        let prepared = connection.prepare(statement.text(Engine::Postgres).into_sql_str()).await;
        let prepared = prepared.unwrap_or_else(|e| panic!("{name}: {e}"));
        let params = prepared.parameters().map(|p| match p {
            Either::Left(types) => types.len(),
            Either::Right(count) => count,
        });
        assert_eq!(params, Some(statement.params()), "{name}");
        if !ALL.iter().any(|s| s.name() == name) {
            continue;
        }
        let other = lite.prepare(statement.text(Engine::Sqlite).into_sql_str()).await.unwrap();
        assert_eq!(names(prepared.columns()), names(other.columns()), "{name}");
    }
}

/// Statements whose text differs by more than a lock or an index hint, with the reason why.
const DIFFERENT: [&str; 6] = [
    // The engines name their functions on JSON differently.
    "outbox_sent",
    "jobs_lock",
    "jobs_hold",
    "withdrawn",
    // PostgreSQL looks up a list of numbers, but not a list of rows.
    "attempts_end",
    // PostgreSQL's triggers count in two tables.
    "counts",
];

#[test]
fn texts_differ_by_locks_and_hints_alone() {
    let bare = |text: &str| {
        // PostgreSQL looks up a list of numbers, but not a list of rows.
        let text = match (text.find(" AND job.id = ANY (ARRAY("), text.find(" AS e))")) {
            (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to + " AS e))".len()..]),
            _ => text.to_owned(),
        };
        let text = text.replace(" FOR NO KEY UPDATE SKIP LOCKED", "");
        let text = text.replace(" FOR NO KEY UPDATE", "").replace(" INDEXED BY job_claim", "");
        // Rows, bytes and times in JSON: `many`.
        let text = text.replace("json_array_elements(CAST($1 AS JSON)) AS r", "json_each($1) AS r");
        let text = text.replace("decode(r.value ->> 'key', 'hex')", "unhex(r.value ->> 'key')");
        let time = "(TIMESTAMPTZ 'epoch' + INTERVAL '1 microsecond' * CAST(";
        text.replace(time, "CAST(").replace(" AS BIGINT))", " AS BIGINT)")
    };
    for statement in ALL.iter().filter(|s| !DIFFERENT.contains(&s.name())) {
        let texts = (statement.text(Engine::Sqlite), statement.text(Engine::Postgres));
        assert_eq!(bare(texts.0), bare(texts.1), "{}", statement.name());
    }
}

/// A farm of some years: twenty thousand jobs of two thousand packages, most of them long done.
const MANY: &str = "
    ALTER TABLE job DISABLE TRIGGER USER;
    INSERT INTO submission (request, principal, created_at)
        SELECT '{}', 'me', now() FROM generate_series(0, 10000);
    INSERT INTO job (submission, kind, package, version, version_key, dist, suite, arch, format, env, master, status,
                     row_version, attempt, client, lease_epoch, infra_retries, dep_waits, lost_by, not_before,
                     priority, weight, unmet, produced, created_at, changed_at)
        SELECT 1 + n / 2, 'binary', 'p' || n % 2000, n / 2000, CAST(n / 2000 || '' AS bytea), 'Debian',
               'suite' || n % 5, 'arch' || n % 7, 'deb', 'sbuild', true,
               CASE WHEN n < 18000 THEN 'Done' WHEN n < 19000 THEN 'Failed'
                    ELSE (ARRAY['Waiting', 'Blocked', 'Building', 'Cancelling', 'Uploaded'])[1 + n % 5] END,
               1, 1, 'box' || n % 40, 1, 0, 0, '[]', now(), 0, 0, '[]', '[]', now(), now()
        FROM generate_series(1, 20000) n;
    INSERT INTO attempt (job, number, claim_id, client, boot, started_at, outcome, ended_at)
        SELECT id, 1, 'claim' || id, client, 'boot', now(),
               CASE WHEN id < 19950 THEN 'failed' END, CASE WHEN id < 19950 THEN now() END FROM job;
    INSERT INTO event (job, number, attempt, to_status, actor, cause, at)
        SELECT id, 1, 0, 'Waiting', 'me', 'submitted', now() FROM job;
    INSERT INTO stream (job, attempt, role, name, length, object)
        SELECT id, 1, 'log', 'log', 9, CASE WHEN id < 19900 THEN 'whole' END FROM job;
    INSERT INTO stream_part (stream, start_at, length, object)
        SELECT id, n * 10, 10, 'part' FROM stream, generate_series(0, 4) n WHERE object IS NULL;
    INSERT INTO package_head SELECT package, dist, suite, format, max(id) FROM job GROUP BY 1, 2, 3, 4;
    INSERT INTO outbox (job) SELECT id FROM job WHERE status = 'Waiting';
    ANALYZE";

/// The plan of a statement as the store runs it.
async fn plan(connection: &mut PgConnection, statement: &Statement) -> String {
    let text = format!("PREPARE {} AS {}", statement.name(), statement.text(Engine::Postgres));
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.unwrap();
    explain(connection, statement).await
}

/// What a list asks for in its tests: the filter it is named after, and the first page. Others keep one plan for any
/// parameters, so these do not matter.
fn params(statement: &Statement) -> Vec<&'static str> {
    let mut params = vec!["NULL"; statement.params()];
    if statement.name().starts_with("jobs") && statement.is_planned_anew() && params.len() > 8 {
        (params[7], params[8]) = ("30000", "50");
    }
    match statement.name() {
        "jobs_of_submission" => params[0] = "70",
        "jobs_in_status" => params[1] = "'Uploaded'",
        "jobs_of_package" => params[2] = "'p7'",
        "jobs_in_suite" => params[4] = "'none'",
        "jobs_of_arch" => params[5] = "'none'",
        "jobs_of_client" => params[6] = "'none'",
        "packages" => (params[0], params[2]) = ("'p3'", "50"),
        _ => {}
    }
    params
}

async fn explain(connection: &mut PgConnection, statement: &Statement) -> String {
    let params = params(statement).join(", ");
    let params = if params.is_empty() { params } else { format!("({params})") };
    let kept = if statement.is_planned_anew() { "custom" } else { "generic" };
    let mode = format!("SET plan_cache_mode = force_{kept}_plan");
    sqlx::raw_sql(AssertSqlSafe(mode)).execute(&mut *connection).await.unwrap();
    let text = format!("EXPLAIN (COSTS OFF) EXECUTE {}{params}", statement.name());
    let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn statements_use_the_index_made_for_them() {
    let mut connection = fresh().await;
    sqlx::raw_sql(MANY).execute(&mut connection).await.unwrap();
    let wanted = [
        ("job_candidate", "job_claim"),
        ("job_peek", "job_claim"),
        ("jobs_peek", "job_claim"),
        ("ahead_of", "job_claim"),
        ("due_routes", "job_claim"),
        ("jobs_superseded", "job_unfinished"),
        ("package_newest", "job_version"),
        ("job_newer_version", "job_version"),
        ("job_same_version", "job_version"),
        ("jobs", "job_pkey"),
        ("jobs_of_submission", "job_by_submission"),
        ("jobs_of_package", "job_by_package"),
        ("jobs_of_client", "job_by_client"),
        ("jobs_in_status", "job_by_status"),
        ("jobs_in_suite", "job_by_suite"),
        ("jobs_of_arch", "job_by_arch"),
        ("jobs_uploaded", "job_uploaded"),
        ("jobs_blocked", "job_by_status"),
        ("logs_to_seal", "stream_log_to_seal"),
        ("parts", "stream_part_pkey"),
    ];
    for (name, index) in wanted {
        let plan = plan(&mut connection, named(name)).await;
        let walks = [format!(" using {index} on "), format!("Bitmap Index Scan on {index}\n")];
        assert!(walks.iter().any(|walk| plan.contains(walk)), "{name}:\n{plan}");
    }
    let seen: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
    for statement in ALL.iter().chain(OF_POSTGRES).filter(|s| !seen.contains(&s.name())) {
        let plan = plan(&mut connection, statement).await;
        for table in ["job", "event", "attempt", "stream", "stream_part", "submission"] {
            let walk = format!("Seq Scan on {table}\n");
            assert!(!plan.contains(&walk), "{}:\n{plan}", statement.name());
        }
    }
    for name in ["job_candidate", "job_peek", "jobs_peek", "jobs", "job_newer_version"] {
        let plan = explain(&mut connection, named(name)).await;
        assert!(!plan.contains("Sort"), "{name} comes in order:\n{plan}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_comes_together_is_looked_up_in_a_farm_that_was_never_analyzed() {
    let mut connection = fresh().await;
    let rows = MANY.strip_suffix("ANALYZE").unwrap();
    sqlx::raw_sql(AssertSqlSafe(rows.to_owned())).execute(&mut connection).await.unwrap();
    for name in [
        "jobs_contested",
        "keys_known",
        "claims_known",
        "streams_incomplete",
        "jobs_lock",
        "jobs_hold",
        "jobs_claim",
        "jobs_advance",
        "attempts_end",
        "postgres_submit",
        "postgres_claim",
        "postgres_advance",
    ] {
        let plan = plan(&mut connection, named(name)).await;
        for table in ["job", "idempotency", "attempt", "stream"] {
            let walks = [format!("Seq Scan on {table}\n"), format!("Seq Scan on {table} ")];
            assert!(!walks.iter().any(|walk| plan.contains(walk)), "{name}:\n{plan}");
        }
        assert!(!plan.contains("hashed SubPlan") && !plan.contains("Semi Join"), "{name}:\n{plan}");
    }
}
