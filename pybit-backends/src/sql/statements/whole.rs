//! What PostgreSQL does at one asking: all that many submissions, claims or changes write. Each asking wakes two processes
//! and costs more than what it asks for. Each parameter is a JSON list of rows; rows that do not come back were left alone.
//!
//! References are checked at the end of a statement, so that its parts may come in any order. Every part sees the
//! tables as they were when the statement began, but a row that is held or changed is looked at again as it is by
//! then: so each change is a compare-and-set, and what depends on rows that are not there yet has its turn before.

use super::jobs::job_columns;
use crate::sql::statement::Statement;

/// Microseconds of a list as a time.
macro_rules! time {
    ($micros:literal) => {
        concat!("(TIMESTAMPTZ 'epoch' + INTERVAL '1 microsecond' * ", $micros, ")")
    };
}

/// Jobs of `r` by number, held in that order; `$lock` says what becomes of those that others hold.
macro_rules! held {
    ($lock:literal) => {
        concat!(
            "held AS MATERIALIZED (
                 SELECT id, status FROM job WHERE id = ANY (ARRAY(SELECT r.job FROM r))
                 ORDER BY id FOR NO KEY UPDATE",
            $lock,
            ")"
        )
    };
}

/// Begins a transaction and makes it wait, as [`POSTGRES_TAKE_TURNS`](super::POSTGRES_TAKE_TURNS) does. Numbers alone come from
/// elsewhere: what has no parameters may be several statements, which are asked and answered once.
pub(in crate::sql) fn postgres_begin_in_turn(numbers: &[i64]) -> String {
    begin_and("count(pg_advisory_xact_lock(n.n)) FROM unnest(", numbers, ") AS n(n)")
}

/// Begins a transaction that holds these jobs, as [`JOBS_LOCK`](super::JOBS_LOCK) does.
pub(in crate::sql) fn postgres_begin_with_jobs(numbers: &[i64]) -> String {
    let after = ") ORDER BY id FOR NO KEY UPDATE) AS held";
    begin_and("count(*) FROM (SELECT id FROM job WHERE id = ANY (", numbers, after)
}

fn begin_and(before: &str, numbers: &[i64], after: &str) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    let numbers = numbers.join(",");
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {before}CAST('{{{numbers}}}' AS BIGINT[]){after}"
    )
}

/// Ends what these begin.
pub(in crate::sql) const POSTGRES_COMMIT: &str = "COMMIT";

/// New submissions (`$1`) and their jobs (`$2`), each pair of numbers (`n`, `m`) with the rows that it became. Left out are those
/// that meet an older job of their package, by which they are refused or which they supersede, and those whose key is known.
/// `suite || ''` leaves a young farm's engine, which takes any index for as good as any other, those that begin with the
/// package.
pub(in crate::sql) static POSTGRES_SUBMIT: Statement = Statement::shared(
    "postgres_submit",
    2,
    concat!(
        "WITH s AS MATERIALIZED (
             SELECT * FROM json_to_recordset(CAST($1 AS JSON))
                 AS s(n BIGINT, request TEXT, principal TEXT, names TEXT, key TEXT, planned BIGINT, at BIGINT)),
         r AS MATERIALIZED (
             SELECT r.*, decode(r.key, 'hex') AS version_key FROM json_to_recordset(CAST($2 AS JSON))
                 AS r(n BIGINT, m BIGINT, kind TEXT, package TEXT, version TEXT, key TEXT, dist TEXT,
                      suite TEXT, arch TEXT, format TEXT, env TEXT, master BOOLEAN, weight BIGINT,
                      priority BIGINT, source_job BIGINT, retries_of BIGINT)),
         met AS MATERIALIZED (
             SELECT r.n FROM r WHERE r.version_key IS NOT NULL AND (
                 (SELECT 1 FROM job j
                  WHERE j.package = r.package AND j.dist = r.dist AND j.suite || '' = r.suite
                    AND j.format = r.format AND j.version_key >= r.version_key AND j.kind = 'binary'
                    AND j.status NOT IN ('Failed', 'Cancelled', 'Cancelling') LIMIT 1) IS NOT NULL
                 OR
                 (SELECT 1 FROM job j
                  WHERE j.package = r.package AND j.dist = r.dist AND j.suite || '' = r.suite
                    AND j.arch || '' = r.arch AND j.format = r.format AND j.env = r.env
                    AND j.version_key <= r.version_key
                    AND j.status IN ('Waiting', 'Blocked', 'Building') LIMIT 1) IS NOT NULL)
             UNION ALL
             SELECT s.n FROM s WHERE s.key IS NOT NULL AND (
                 SELECT 1 FROM idempotency i
                 WHERE i.principal = s.principal AND i.key = s.key LIMIT 1) IS NOT NULL),
         came AS MATERIALIZED (
             SELECT nextval('submission_id_seq') AS id, new.*
             FROM (SELECT * FROM s WHERE (SELECT 1 FROM met WHERE met.n = s.n LIMIT 1) IS NULL
                   ORDER BY s.n) AS new),
         planned AS MATERIALIZED (
             SELECT nextval('job_id_seq') AS id, new.*
             FROM (SELECT came.id AS submission, came.principal, ", time!("came.at"), " AS came_at, r.*
                   FROM r JOIN came ON came.n = r.n ORDER BY r.n, r.m) AS new),
         submitted AS (
             INSERT INTO submission (id, request, principal, names, created_at)
             SELECT id, request, principal, names, ", time!("at"), " FROM came),
         keyed AS (
             INSERT INTO idempotency (principal, key, submission, planned)
             SELECT principal, key, id, planned FROM came WHERE key IS NOT NULL),
         planted AS (
             INSERT INTO job (id, submission, kind, package, version, version_key, dist, suite, arch,
                              format, env, master, weight, priority, source_job, retries_of, not_before,
                              created_at, changed_at, status, row_version, attempt, lease_epoch,
                              infra_retries, dep_waits, lost_by, unmet, produced)
             SELECT id, submission, kind, package, version, version_key, dist, suite, arch, format, env,
                    master, weight, priority, source_job, retries_of, TIMESTAMPTZ 'epoch', came_at, came_at,
                    'Waiting', 1, 0, 0, 0, 0, '[]', '[]', '[]' FROM planned),
         headed AS (
             INSERT INTO package_head (package, dist, suite, format, newest_job)
             SELECT package, dist, suite, format, max(id) FROM planned WHERE kind = 'binary'
             GROUP BY package, dist, suite, format
             ON CONFLICT (package, dist, suite, format) DO UPDATE SET newest_job = excluded.newest_job),
         noted AS (
             INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
             SELECT id, 1, 0, NULL, 'Waiting', principal, 'submitted', came_at FROM planned),
         hinted AS (INSERT INTO outbox (job) SELECT id FROM planned)
         SELECT n, m, submission, id FROM planned ORDER BY id"
    ),
);

/// Claims that have chosen their jobs: the jobs as they are taken, their attempts, empty logs and events. Left alone is a job
/// that is not as it was seen or that somebody holds at this moment, and a claim that was asked before.
pub(in crate::sql) static POSTGRES_CLAIM: Statement = Statement::shared(
    "postgres_claim",
    1,
    concat!(
        "WITH r AS MATERIALIZED (
             SELECT r.*, ", time!("r.micros"), " AS at FROM json_to_recordset(CAST($1 AS JSON))
                 AS r(job BIGINT, row_version BIGINT, claim TEXT, client TEXT, boot TEXT, micros BIGINT)),
         ", held!(" SKIP LOCKED"), ",
         taken AS (
             UPDATE job
             SET status = 'Building', row_version = job.row_version + 1, attempt = job.attempt + 1,
                 lease_epoch = job.lease_epoch + 1, client = r.client, changed_at = r.at
             FROM r
             WHERE job.id = r.job AND job.id = ANY (ARRAY(SELECT held.id FROM held))
               AND job.status = 'Waiting' AND job.row_version = r.row_version
               AND (SELECT 1 FROM attempt a
                    WHERE a.claim_id = r.claim AND a.client = r.client LIMIT 1) IS NULL
             RETURNING job.*),
         began AS (
             INSERT INTO attempt (job, number, claim_id, client, boot, started_at)
             SELECT t.id, t.attempt, r.claim, r.client, r.boot, r.at FROM taken t JOIN r ON r.job = t.id),
         logged AS (
             INSERT INTO stream (job, attempt, role, name, length)
             SELECT t.id, t.attempt, 'log', 'log', 0 FROM taken t),
         noted AS (
             INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
             SELECT t.id, t.row_version, t.attempt, 'Waiting', t.status, 'client ' || r.client, 'claimed', r.at
             FROM taken t JOIN r ON r.job = t.id)
         SELECT ", job_columns!(), " FROM taken"
    ),
);

/// Decided changes: the jobs as they become, their events, the ends of their attempts. Left alone is a job that is not as it
/// was decided on, one that needs files that are not whole, one whose attempt has ended, and one that speaks well of a
/// client that has been ill.
pub(in crate::sql) static POSTGRES_ADVANCE: Statement = Statement::shared(
    "postgres_advance",
    1,
    concat!(
        "WITH r AS MATERIALIZED (
             SELECT r.*, ", time!("r.micros"), " AS at FROM json_to_recordset(CAST($1 AS JSON))
                 AS r(job BIGINT, expected BIGINT, lease BIGINT, status TEXT, micros BIGINT, package TEXT,
                      version TEXT, key TEXT, client TEXT, infra_retries BIGINT, dep_waits BIGINT,
                      lost_by TEXT, avoid_client TEXT, avoid_until BIGINT, not_before BIGINT,
                      priority BIGINT, weight BIGINT, unmet TEXT, failure_class TEXT,
                      failure_message TEXT, produced TEXT, superseded_by BIGINT, needs_files BOOLEAN,
                      well BOOLEAN, actor TEXT, cause TEXT, outcome TEXT, end_class TEXT,
                      end_message TEXT, log_sha256 TEXT)),
         ", held!(""), ",
         taken AS (
             UPDATE job
             SET row_version = job.row_version + 1, lease_epoch = job.lease_epoch + 1, status = r.status,
                 changed_at = r.at, package = r.package, version = r.version,
                 version_key = COALESCE(decode(r.key, 'hex'), job.version_key), client = r.client,
                 infra_retries = r.infra_retries, dep_waits = r.dep_waits, lost_by = r.lost_by,
                 avoid_client = r.avoid_client, avoid_until = ", time!("r.avoid_until"), ",
                 not_before = ", time!("r.not_before"), ", priority = r.priority, weight = r.weight,
                 unmet = r.unmet, failure_class = r.failure_class, failure_message = r.failure_message,
                 produced = r.produced, superseded_by = r.superseded_by
             FROM r
             WHERE job.id = r.job AND job.id = ANY (ARRAY(SELECT held.id FROM held))
               AND job.row_version = r.expected AND (r.lease IS NULL OR job.lease_epoch = r.lease)
               AND (NOT r.needs_files OR (
                    SELECT 1 FROM stream f WHERE f.job = job.id AND f.attempt = job.attempt
                       AND f.role = 'file' AND f.object IS NULL LIMIT 1) IS NULL)
               AND (r.outcome IS NULL OR (
                    SELECT 1 FROM attempt a WHERE a.job = job.id AND a.number = job.attempt
                       AND a.outcome IS NULL LIMIT 1) IS NOT NULL)
               AND (NOT r.well OR (
                    SELECT 1 FROM client c WHERE c.name = job.client
                       AND (c.infra_streak <> 0 OR c.quarantined_until <> TIMESTAMPTZ 'epoch') LIMIT 1) IS NULL)
             RETURNING job.*),
         noted AS (
             INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
             SELECT t.id, t.row_version, t.attempt, held.status, t.status, r.actor, r.cause, r.at
             FROM taken t JOIN r ON r.job = t.id JOIN held ON held.id = t.id),
         ended AS (
             UPDATE attempt
             SET outcome = r.outcome, failure_class = r.end_class, failure_message = r.end_message,
                 log_sha256 = r.log_sha256, ended_at = r.at
             FROM taken t JOIN r ON r.job = t.id
             WHERE attempt.job = t.id AND attempt.number = t.attempt AND r.outcome IS NOT NULL
               AND attempt.job = ANY (ARRAY(SELECT r.job FROM r)))
         SELECT ", job_columns!(), " FROM taken"
    ),
);
