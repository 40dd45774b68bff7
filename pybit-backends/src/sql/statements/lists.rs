//! Many jobs at a time.

use super::jobs::job_columns;
use crate::sql::statement::Statement;

/// Jobs newest first. Each variant leads with the one filter whose index it walks; the others narrow what it finds. All
/// take the same parameters: submission, status, package, dist, suite, arch, client, before, limit.
macro_rules! jobs_by {
    ($name:literal, $lead:literal) => {
        Statement::shared(
            $name,
            9,
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM job WHERE ",
                $lead,
                "id < $8
                 AND (CAST($1 AS BIGINT) IS NULL OR submission = $1)
                 AND (CAST($2 AS TEXT) IS NULL OR status = $2)
                 AND (CAST($3 AS TEXT) IS NULL OR package = $3)
                 AND (CAST($4 AS TEXT) IS NULL OR dist = $4)
                 AND (CAST($5 AS TEXT) IS NULL OR suite = $5)
                 AND (CAST($6 AS TEXT) IS NULL OR arch = $6)
                 AND (CAST($7 AS TEXT) IS NULL OR client = $7)
                 ORDER BY id DESC LIMIT $9"
            ),
        )
        .planned_anew()
    };
}

pub(in crate::sql) static JOBS: Statement = jobs_by!("jobs", "");
pub(in crate::sql) static JOBS_OF_SUBMISSION: Statement =
    jobs_by!("jobs_of_submission", "submission = $1 AND ");
pub(in crate::sql) static JOBS_OF_PACKAGE: Statement =
    jobs_by!("jobs_of_package", "package = $3 AND ");
pub(in crate::sql) static JOBS_OF_CLIENT: Statement =
    jobs_by!("jobs_of_client", "client = $7 AND ");
pub(in crate::sql) static JOBS_IN_STATUS: Statement =
    jobs_by!("jobs_in_status", "status = $2 AND ");
pub(in crate::sql) static JOBS_IN_SUITE: Statement = jobs_by!("jobs_in_suite", "suite = $5 AND ");
pub(in crate::sql) static JOBS_OF_ARCH: Statement = jobs_by!("jobs_of_arch", "arch = $6 AND ");

/// The jobs that a request became at once, in the order of its plan.
pub(in crate::sql) static JOBS_PLANNED: Statement = Statement::shared(
    "jobs_planned",
    2,
    concat!("SELECT ", job_columns!(), " FROM job WHERE submission = $1 ORDER BY id LIMIT $2"),
);

pub(in crate::sql) static JOBS_BLOCKED: Statement = Statement::shared(
    "jobs_blocked",
    2,
    concat!(
        "SELECT ",
        job_columns!(),
        " FROM job WHERE status = 'Blocked' AND id > $1 ORDER BY id LIMIT $2"
    ),
);

pub(in crate::sql) static JOBS_UPLOADED: Statement = Statement::shared(
    "jobs_uploaded",
    5,
    concat!(
        "SELECT ",
        job_columns!(),
        " FROM job
         WHERE status = 'Uploaded' AND dist = $1 AND suite = $2 AND format = $3 AND id > $4
         ORDER BY id LIMIT $5"
    ),
);

pub(in crate::sql) static JOBS_UNPUBLISHABLE: Statement = Statement::shared(
    "jobs_unpublishable",
    1,
    concat!(
        "SELECT ",
        job_columns!(),
        " FROM job
         WHERE status = 'Uploaded'
           AND (kind = 'source'
                OR NOT EXISTS (SELECT 1 FROM repository r
                               WHERE r.dist = job.dist AND r.suite = job.suite AND r.format = job.format))
         ORDER BY id LIMIT $1"
    ),
);

/// What the triggers keep, on PostgreSQL with what has not been summed up yet.
pub(in crate::sql) static COUNTS: Statement = Statement::split(
    "counts",
    0,
    "SELECT status, jobs FROM job_count WHERE jobs > 0",
    "SELECT status, CAST(sum(jobs) AS BIGINT) AS jobs
     FROM (SELECT status, jobs FROM job_count UNION ALL SELECT status, jobs FROM job_count_delta) c
     GROUP BY status HAVING sum(jobs) > 0",
);

pub(in crate::sql) static LEASES: Statement = Statement::shared(
    "leases",
    0,
    "SELECT id, lease_epoch FROM job WHERE status IN ('Building', 'Cancelling') ORDER BY id",
);

macro_rules! due_routes {
    ($hint:literal) => {
        concat!(
            "SELECT DISTINCT dist, suite, arch, format FROM job",
            $hint,
            " WHERE status = 'Waiting' AND not_before <= $1 ORDER BY dist, suite, arch, format"
        )
    };
}

/// A walk of the claim index alone; SQLite would rather look up every waiting job by its status and sort.
pub(in crate::sql) static DUE_ROUTES: Statement =
    Statement::split("due_routes", 1, due_routes!(" INDEXED BY job_claim"), due_routes!(""));

pub(in crate::sql) static AHEAD_OF: Statement = Statement::shared(
    "ahead_of",
    8,
    "SELECT count(*) AS ahead FROM job
     WHERE status = 'Waiting' AND dist = $1 AND suite = $2 AND arch = $3 AND format = $4 AND env = $5
       AND priority >= $6
       AND (priority > $6 OR weight > $7 OR (weight = $7 AND id < $8))",
);
