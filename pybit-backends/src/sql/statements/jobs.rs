//! One job at a time: its life, its history, its hints.

use super::orders::not_withdrawn;
use crate::sql::statement::Statement;

/// The columns of a job in the order of the model's fields.
macro_rules! job_columns {
    () => {
        "id, submission, kind, package, version, dist, suite, arch, format, env, master, status, \
         row_version, attempt, client, lease_epoch, infra_retries, dep_waits, lost_by, \
         avoid_client, avoid_until, not_before, priority, weight, unmet, failure_class, \
         failure_message, produced, source_job, retries_of, superseded_by, created_at, changed_at"
    };
}
pub(super) use job_columns;

pub(in crate::sql) static JOB_BY_ID: Statement = Statement::shared(
    "job_by_id",
    1,
    concat!("SELECT ", job_columns!(), " FROM job WHERE id = $1"),
);

pub(in crate::sql) static JOB_ADD: Statement = Statement::shared(
    "job_add",
    17,
    concat!(
        "INSERT INTO job (submission, kind, package, version, version_key, dist, suite, arch, format,
                          env, master, weight, priority, source_job, retries_of, not_before,
                          created_at, changed_at, status, row_version, attempt, lease_epoch,
                          infra_retries, dep_waits, lost_by, unmet, produced)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17,
                 'Waiting', 1, 0, 0, 0, 0, '[]', '[]', '[]') RETURNING ",
        job_columns!()
    ),
);

/// The compare-and-set of a change: identity, target and attempt number never move with it.
pub(in crate::sql) static JOB_ADVANCE: Statement = Statement::shared(
    "job_advance",
    22,
    concat!(
        "UPDATE job
         SET row_version = row_version + 1, lease_epoch = lease_epoch + 1,
             status = $4, changed_at = $5, package = $6, version = $7,
             version_key = COALESCE($8, version_key), client = $9, infra_retries = $10,
             dep_waits = $11, lost_by = $12, avoid_client = $13, avoid_until = $14,
             not_before = $15, priority = $16, weight = $17, unmet = $18, failure_class = $19,
             failure_message = $20, produced = $21, superseded_by = $22
         WHERE id = $1 AND row_version = $2
           AND (CAST($3 AS BIGINT) IS NULL OR lease_epoch = $3) RETURNING ",
        job_columns!()
    ),
);

/// A job that nobody holds, past an attempt that was never given. Its status is not named: it stays.
pub(in crate::sql) static JOB_OUTRUN: Statement = Statement::shared(
    "job_outrun",
    3,
    concat!(
        "UPDATE job
         SET row_version = row_version + 1, lease_epoch = lease_epoch + 1,
             attempt = CAST($2 AS BIGINT) + 1, client = NULL, changed_at = $3
         WHERE id = $1 AND attempt < $2 AND status IN ('Waiting', 'Blocked') RETURNING ",
        job_columns!()
    ),
);

/// A job, held against every other change until the transaction ends.
pub(in crate::sql) static JOB_LOCK: Statement = Statement::split(
    "job_lock",
    1,
    concat!("SELECT ", job_columns!(), " FROM job WHERE id = $1"),
    concat!("SELECT ", job_columns!(), " FROM job WHERE id = $1 FOR NO KEY UPDATE"),
);

// `$6` is now, `$8` so late that only a clock that was ahead wrote it (`Job::is_paused`).
macro_rules! candidate {
    ($lock:literal) => {
        concat!(
            "SELECT id, priority, weight FROM job
             WHERE status = 'Waiting' AND dist = $1 AND suite = $2 AND arch = $3 AND format = $4
               AND env = $5 AND (not_before <= $6 OR changed_at > $8)
               AND (avoid_client IS NULL OR avoid_client <> $7 OR avoid_until <= $6)
             ORDER BY priority DESC, weight DESC, id LIMIT 1",
            $lock
        )
    };
}

/// The best job of one offer as it looks now.
pub(in crate::sql) static JOB_PEEK: Statement = Statement::shared("job_peek", 8, candidate!(""));

/// The best job of one offer, held until the transaction ends. A job that another transaction holds is passed over.
pub(in crate::sql) static JOB_CANDIDATE: Statement = Statement::split(
    "job_candidate",
    8,
    candidate!(""),
    candidate!(" FOR NO KEY UPDATE SKIP LOCKED"),
);

pub(in crate::sql) static JOB_CLAIM: Statement = Statement::shared(
    "job_claim",
    3,
    concat!(
        "UPDATE job
         SET status = 'Building', row_version = row_version + 1, attempt = attempt + 1,
             lease_epoch = lease_epoch + 1, client = $2, changed_at = $3
         WHERE id = $1 AND status = 'Waiting' RETURNING ",
        job_columns!()
    ),
);

/// The second condition repeats the index's own words, which is what lets SQLite use a partial index.
pub(in crate::sql) static JOBS_SUPERSEDED: Statement = Statement::shared(
    "jobs_superseded",
    8,
    "SELECT id FROM job
     WHERE package = $1 AND dist = $2 AND suite = $3 AND arch = $4 AND format = $5 AND env = $6
       AND version_key <= $7 AND submission <> $8
       AND status IN ('Waiting', 'Blocked', 'Building') ORDER BY id",
);

pub(in crate::sql) static JOB_SUPERSEDE: Statement = Statement::shared(
    "job_supersede",
    4,
    "UPDATE job
     SET status = $3, row_version = row_version + 1, lease_epoch = lease_epoch + 1, changed_at = $4
     WHERE id = $1 AND row_version = $2",
);

pub(in crate::sql) static JOB_POINT_TO_NEWER: Statement =
    Statement::shared("job_point_to_newer", 2, "UPDATE job SET superseded_by = $2 WHERE id = $1");

/// The newest of the jobs by which the suite has or gets a version above `$5`, those of submission `$6` aside.
pub(in crate::sql) static JOB_NEWER_VERSION: Statement = Statement::shared(
    "job_newer_version",
    6,
    concat!(
        "SELECT ",
        job_columns!(),
        " FROM job
         WHERE package = $1 AND dist = $2 AND suite = $3 AND format = $4 AND version_key > $5
           AND submission <> $6
           AND kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling') AND ",
        not_withdrawn!(),
        " ORDER BY version_key DESC, id DESC LIMIT 1"
    ),
);

pub(in crate::sql) static JOB_SAME_VERSION: Statement = Statement::shared(
    "job_same_version",
    8,
    concat!(
        "SELECT ",
        job_columns!(),
        " FROM job
         WHERE package = $1 AND dist = $2 AND suite = $3 AND format = $4 AND version_key = $5
           AND submission <> $6 AND arch = $7 AND env = $8
           AND kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling') AND ",
        not_withdrawn!(),
        " ORDER BY id DESC LIMIT 1"
    ),
);

pub(in crate::sql) static EVENT_ADD: Statement = Statement::shared(
    "event_add",
    8,
    "INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
);

pub(in crate::sql) static EVENTS: Statement = Statement::shared(
    "events",
    1,
    "SELECT job, number, attempt, from_status, to_status, actor, cause, at
     FROM event WHERE job = $1 ORDER BY number",
);

pub(in crate::sql) static OUTBOX_ADD: Statement =
    Statement::shared("outbox_add", 1, "INSERT INTO outbox (job) VALUES ($1)");

pub(in crate::sql) static OUTBOX: Statement = Statement::shared(
    "outbox",
    1,
    "SELECT outbox.id, outbox.job, job.dist, job.arch, job.suite, job.format
     FROM outbox JOIN job ON job.id = outbox.job ORDER BY outbox.id LIMIT $1",
);

/// `$1` is a JSON list of numbers. A row that another server is deleting at this moment is left to it.
pub(in crate::sql) static OUTBOX_SENT: Statement = Statement::split(
    "outbox_sent",
    1,
    "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each($1))",
    "DELETE FROM outbox WHERE id IN
     (SELECT id FROM outbox
      WHERE id = ANY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON)))
      ORDER BY id FOR UPDATE SKIP LOCKED)",
);
