//! Statements about many rows at once. `$1` is a JSON list; each of its elements is a row `r`, read by `r.value ->> 'key'`,
//! which both engines write the same way.
//!
//! PostgreSQL takes every list for a hundred rows, and would rather walk a young table than look a hundred rows up. Two
//! things keep it from that: `(SELECT 1 … LIMIT 1) IS NOT NULL`, which unlike `EXISTS` it never turns into a walk, and
//! [`by_ids`], a second condition on the list's numbers.

use super::jobs::job_columns;
use crate::sql::statement::Statement;

/// A text with its three differences: where rows come from, how bytes are read, how a time is read.
macro_rules! by_rows {
    ($name:literal, $params:literal, $text:ident) => {
        Statement::split(
            $name,
            $params,
            $text!("json_each($1) AS r", "unhex(", ")", "CAST(", " AS BIGINT)"),
            $text!(
                "json_array_elements(CAST($1 AS JSON)) AS r",
                "decode(",
                ", 'hex')",
                "(TIMESTAMPTZ 'epoch' + INTERVAL '1 microsecond' * CAST(",
                " AS BIGINT))"
            ),
        )
    };
}

/// [`by_rows`] with a condition of PostgreSQL's own at its end: the numbers in `$column` of the table are those of `$key`.
macro_rules! by_ids {
    ($name:literal, $text:ident, $column:literal, $key:literal $(, $rest:expr)?) => {
        Statement::split(
            $name,
            1,
            concat!($text!("json_each($1) AS r", "unhex(", ")", "CAST(", " AS BIGINT)") $(, $rest)?),
            concat!(
                $text!(
                    "json_array_elements(CAST($1 AS JSON)) AS r",
                    "decode(",
                    ", 'hex')",
                    "(TIMESTAMPTZ 'epoch' + INTERVAL '1 microsecond' * CAST(",
                    " AS BIGINT))"
                ),
                " AND ", $column, " = ANY (ARRAY(SELECT CAST(e.value ->> '", $key, "' AS BIGINT)
                                                 FROM json_array_elements(CAST($1 AS JSON)) AS e))"
                $(, $rest)?
            ),
        )
    };
}

macro_rules! submissions_add {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO submission (request, principal, names, created_at)
             SELECT r.value ->> 'request', r.value ->> 'principal', r.value ->> 'names', ",
            $t,
            "r.value ->> 'at'",
            $ime,
            " FROM ",
            $rows,
            " ORDER BY CAST(r.value ->> 'n' AS BIGINT) RETURNING id"
        )
    };
}

/// Numbers go up in the order of `n`.
#[rustfmt::skip]
pub(in crate::sql) static SUBMISSIONS_ADD: Statement =
    by_rows!("submissions_add", 1, submissions_add);

macro_rules! jobs_add {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO job (submission, kind, package, version, version_key, dist, suite, arch, format,
                              env, master, weight, priority, source_job, retries_of, not_before,
                              created_at, changed_at, status, row_version, attempt, lease_epoch,
                              infra_retries, dep_waits, lost_by, unmet, produced)
             SELECT CAST(r.value ->> 'submission' AS BIGINT), r.value ->> 'kind', r.value ->> 'package',
                    r.value ->> 'version', ",
            $b, "r.value ->> 'key'", $ytes,
            ", r.value ->> 'dist', r.value ->> 'suite', r.value ->> 'arch', r.value ->> 'format',
                    r.value ->> 'env', CAST(r.value ->> 'master' AS BOOLEAN),
                    CAST(r.value ->> 'weight' AS BIGINT), CAST(r.value ->> 'priority' AS BIGINT),
                    CAST(r.value ->> 'source_job' AS BIGINT), CAST(r.value ->> 'retries_of' AS BIGINT), ",
            $t, "'0'", $ime, ", ", $t, "r.value ->> 'at'", $ime, ", ", $t, "r.value ->> 'at'", $ime,
            ", 'Waiting', 1, 0, 0, 0, 0, '[]', '[]', '[]' FROM ", $rows,
            " ORDER BY CAST(r.value ->> 'n' AS BIGINT) RETURNING ",
            job_columns!()
        )
    };
}

/// Numbers go up in the order of `n`.
pub(in crate::sql) static JOBS_ADD: Statement = by_rows!("jobs_add", 1, jobs_add);

macro_rules! jobs_contested {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "SELECT CAST(r.value ->> 'n' AS BIGINT) AS n FROM ",
            $rows,
            " WHERE (
                 SELECT 1 FROM job
                 WHERE package = r.value ->> 'package' AND dist = r.value ->> 'dist'
                   AND suite || '' = r.value ->> 'suite' AND format = r.value ->> 'format'
                   AND version_key >= ",
            $b,
            "r.value ->> 'key'",
            $ytes,
            "      AND kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling') LIMIT 1) IS NOT NULL
              OR (
                 SELECT 1 FROM job
                 WHERE package = r.value ->> 'package' AND dist = r.value ->> 'dist'
                   AND suite || '' = r.value ->> 'suite' AND arch || '' = r.value ->> 'arch'
                   AND format = r.value ->> 'format' AND env = r.value ->> 'env'
                   AND version_key <= ",
            $b,
            "r.value ->> 'key'",
            $ytes,
            "      AND status IN ('Waiting', 'Blocked', 'Building') LIMIT 1) IS NOT NULL"
        )
    };
}

/// Which of the planned jobs meet others of their package: those that the version rules refuse or that supersede any.
/// A young farm's engine knows nothing of its tables and takes any index for as good as any other: `suite || ''` leaves it
/// those that begin with the package.
pub(in crate::sql) static JOBS_CONTESTED: Statement = by_rows!("jobs_contested", 1, jobs_contested);

macro_rules! keys_known {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "SELECT CAST(r.value ->> 'n' AS BIGINT) AS n FROM ", $rows,
            " WHERE (SELECT 1 FROM idempotency i
                     WHERE i.principal = r.value ->> 'principal' AND i.key = r.value ->> 'key' LIMIT 1) IS NOT NULL"
        )
    };
}

pub(in crate::sql) static KEYS_KNOWN: Statement = by_rows!("keys_known", 1, keys_known);

macro_rules! keys_add {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO idempotency (principal, key, submission, planned)
             SELECT r.value ->> 'principal', r.value ->> 'key', CAST(r.value ->> 'submission' AS BIGINT),
                    CAST(r.value ->> 'planned' AS BIGINT) FROM ", $rows
        )
    };
}

pub(in crate::sql) static KEYS_ADD: Statement = by_rows!("keys_add", 1, keys_add);

macro_rules! events_add {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
             SELECT CAST(r.value ->> 'job' AS BIGINT), CAST(r.value ->> 'number' AS BIGINT),
                    CAST(r.value ->> 'attempt' AS BIGINT), r.value ->> 'from', r.value ->> 'to',
                    r.value ->> 'actor', r.value ->> 'cause', ",
            $t,
            "r.value ->> 'at'",
            $ime,
            " FROM ",
            $rows
        )
    };
}

pub(in crate::sql) static EVENTS_ADD: Statement = by_rows!("events_add", 1, events_add);

macro_rules! outbox_add_all {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!("INSERT INTO outbox (job) SELECT CAST(r.value ->> 'job' AS BIGINT) FROM ", $rows)
    };
}

pub(in crate::sql) static OUTBOX_ADD_ALL: Statement = by_rows!("outbox_add_all", 1, outbox_add_all);

macro_rules! package_heads {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO package_head (package, dist, suite, format, newest_job)
             SELECT r.value ->> 'package', r.value ->> 'dist', r.value ->> 'suite', r.value ->> 'format',
                    CAST(r.value ->> 'job' AS BIGINT) FROM ", $rows,
            " WHERE true
             ON CONFLICT (package, dist, suite, format) DO UPDATE SET newest_job = excluded.newest_job"
        )
    };
}

/// Each package of a suite at most once.
pub(in crate::sql) static PACKAGE_HEADS: Statement = by_rows!("package_heads", 1, package_heads);

/// Jobs by their numbers, held in that order until the transaction ends.
pub(in crate::sql) static JOBS_LOCK: Statement = Statement::split(
    "jobs_lock",
    1,
    concat!(
        "SELECT ", job_columns!(), " FROM job
         WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY id"
    ),
    concat!(
        "SELECT ", job_columns!(), " FROM job
         WHERE id = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON))))
         ORDER BY id FOR NO KEY UPDATE"
    ),
);

macro_rules! jobs_advance {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "UPDATE job
             SET row_version = row_version + 1, lease_epoch = lease_epoch + 1,
                 status = r.value ->> 'status', changed_at = ", $t, "r.value ->> 'at'", $ime,
            ", package = r.value ->> 'package', version = r.value ->> 'version',
                 version_key = COALESCE(", $b, "r.value ->> 'key'", $ytes, ", version_key),
                 client = r.value ->> 'client',
                 infra_retries = CAST(r.value ->> 'infra_retries' AS BIGINT),
                 dep_waits = CAST(r.value ->> 'dep_waits' AS BIGINT), lost_by = r.value ->> 'lost_by',
                 avoid_client = r.value ->> 'avoid_client', avoid_until = ",
            $t, "r.value ->> 'avoid_until'", $ime, ", not_before = ", $t, "r.value ->> 'not_before'", $ime,
            ", priority = CAST(r.value ->> 'priority' AS BIGINT),
                 weight = CAST(r.value ->> 'weight' AS BIGINT), unmet = r.value ->> 'unmet',
                 failure_class = r.value ->> 'failure_class',
                 failure_message = r.value ->> 'failure_message', produced = r.value ->> 'produced',
                 superseded_by = CAST(r.value ->> 'superseded_by' AS BIGINT)
             FROM ", $rows,
            " WHERE job.id = CAST(r.value ->> 'job' AS BIGINT)"
        )
    };
}

/// The changes of [`JOB_ADVANCE`](super::JOB_ADVANCE) to jobs that are held and were compared.
pub(in crate::sql) static JOBS_ADVANCE: Statement =
    by_ids!("jobs_advance", jobs_advance, "job.id", "job", concat!(" RETURNING ", job_columns!()));

macro_rules! streams_incomplete {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "SELECT CAST(r.value ->> 'job' AS BIGINT) AS job FROM ",
            $rows,
            " WHERE (SELECT 1 FROM stream s
                     WHERE s.job = CAST(r.value ->> 'job' AS BIGINT)
                       AND s.attempt = CAST(r.value ->> 'attempt' AS BIGINT)
                       AND s.role = 'file' AND s.object IS NULL LIMIT 1) IS NOT NULL"
        )
    };
}

pub(in crate::sql) static STREAMS_INCOMPLETE: Statement =
    by_rows!("streams_incomplete", 1, streams_incomplete);

macro_rules! attempts_end {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "UPDATE attempt
             SET outcome = r.value ->> 'outcome', failure_class = r.value ->> 'failure_class',
                 failure_message = r.value ->> 'failure_message', log_sha256 = r.value ->> 'log_sha256',
                 ended_at = ", $t, "r.value ->> 'at'", $ime, " FROM ", $rows,
            " WHERE attempt.job = CAST(r.value ->> 'job' AS BIGINT)
               AND attempt.number = CAST(r.value ->> 'attempt' AS BIGINT) AND attempt.outcome IS NULL"
        )
    };
}

pub(in crate::sql) static ATTEMPTS_END: Statement =
    by_ids!("attempts_end", attempts_end, "attempt.job", "job");

macro_rules! clients_ailing {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "SELECT name FROM client WHERE name IN (SELECT r.value ->> 'client' FROM ",
            $rows,
            ")
             AND (infra_streak <> 0 OR quarantined_until <> $2) ORDER BY name"
        )
    };
}

/// Those of the clients that have a streak or a quarantine to end, by name.
pub(in crate::sql) static CLIENTS_AILING: Statement = by_rows!("clients_ailing", 2, clients_ailing);

macro_rules! claims_known {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "SELECT CAST(r.value ->> 'n' AS BIGINT) AS n FROM ",
            $rows,
            " WHERE (SELECT 1 FROM attempt a
                     WHERE a.claim_id = r.value ->> 'claim' AND a.client = r.value ->> 'client'
                     LIMIT 1) IS NOT NULL"
        )
    };
}

/// Which of the claims were asked before.
pub(in crate::sql) static CLAIMS_KNOWN: Statement = by_rows!("claims_known", 1, claims_known);

/// The best `$7` jobs of one target as they look now, those that some client is passed over for among them. What
/// changed after `$8` is not paused (`Job::is_paused`).
pub(in crate::sql) static JOBS_PEEK: Statement = Statement::shared(
    "jobs_peek",
    8,
    "SELECT id, row_version, priority, weight, not_before, changed_at, avoid_client, avoid_until FROM job
     WHERE status = 'Waiting' AND dist = $1 AND suite = $2 AND arch = $3 AND format = $4
       AND env = $5 AND (not_before <= $6 OR changed_at > $8)
     ORDER BY priority DESC, weight DESC, id LIMIT $7",
);

/// Jobs by their numbers, held until the transaction ends; those that another transaction holds are passed over.
pub(in crate::sql) static JOBS_HOLD: Statement = Statement::split(
    "jobs_hold",
    1,
    concat!(
        "SELECT ", job_columns!(), " FROM job
         WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY id"
    ),
    concat!(
        "SELECT ", job_columns!(), " FROM job
         WHERE id = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON))))
         ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
    ),
);

macro_rules! jobs_claim {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "UPDATE job
             SET status = 'Building', row_version = row_version + 1, attempt = attempt + 1,
                 lease_epoch = lease_epoch + 1, client = r.value ->> 'client', changed_at = ",
            $t,
            "r.value ->> 'at'",
            $ime,
            " FROM ",
            $rows,
            " WHERE job.id = CAST(r.value ->> 'job' AS BIGINT) AND status || '' = 'Waiting'"
        )
    };
}

/// Given the status as it is, SQLite walks all jobs that wait, and the list for each of them.
pub(in crate::sql) static JOBS_CLAIM: Statement =
    by_ids!("jobs_claim", jobs_claim, "job.id", "job", concat!(" RETURNING ", job_columns!()));

macro_rules! attempts_add {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO attempt (job, number, claim_id, client, boot, started_at)
             SELECT CAST(r.value ->> 'job' AS BIGINT), CAST(r.value ->> 'attempt' AS BIGINT),
                    r.value ->> 'claim', r.value ->> 'client', r.value ->> 'boot', ",
            $t,
            "r.value ->> 'at'",
            $ime,
            " FROM ",
            $rows
        )
    };
}

pub(in crate::sql) static ATTEMPTS_ADD: Statement = by_rows!("attempts_add", 1, attempts_add);

macro_rules! logs_add {
    ($rows:literal, $b:literal, $ytes:literal, $t:literal, $ime:literal) => {
        concat!(
            "INSERT INTO stream (job, attempt, role, name, length)
             SELECT CAST(r.value ->> 'job' AS BIGINT), CAST(r.value ->> 'attempt' AS BIGINT), 'log', 'log', 0
             FROM ", $rows
        )
    };
}

/// The empty logs of attempts.
pub(in crate::sql) static LOGS_ADD: Statement = by_rows!("logs_add", 1, logs_add);
