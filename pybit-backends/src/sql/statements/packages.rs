//! Packages as their jobs show them.

use super::jobs::job_columns;
use super::orders::not_withdrawn;
use crate::sql::statement::Statement;

/// By name: at most `$3` names after `$1` that match the pattern `$2`, each with all of its suites.
pub(in crate::sql) static PACKAGES: Statement = Statement::shared(
    "packages",
    3,
    concat!(
        "SELECT h.package, h.dist, h.suite, h.format, h.newest_job,
            newest.version AS newest_version, newest.status AS newest_status,
            (SELECT version FROM job
             WHERE package = h.package AND dist = h.dist AND suite = h.suite AND format = h.format
               AND kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling')
               AND status = 'Done' AND version_key IS NOT NULL AND ",
        not_withdrawn!(),
        "
             ORDER BY version_key DESC, id DESC LIMIT 1) AS done
     FROM package_head h JOIN job newest ON newest.id = h.newest_job
     WHERE h.package IN (SELECT DISTINCT package FROM package_head
                         WHERE package > $1
                           AND (CAST($2 AS TEXT) IS NULL OR lower(package) LIKE $2 ESCAPE '!')
                         ORDER BY package LIMIT $3)
     ORDER BY h.package, h.dist, h.suite, h.format"
    ),
)
.planned_anew();

pub(in crate::sql) static PACKAGE_NEWEST: Statement = Statement::shared(
    "package_newest",
    4,
    concat!(
        "SELECT ",
        job_columns!(),
        " FROM job
         WHERE package = $1 AND dist = $2 AND suite = $3 AND format = $4
           AND kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling')
           AND version_key IS NOT NULL AND ",
        not_withdrawn!(),
        " ORDER BY version_key DESC, id DESC LIMIT 1"
    ),
);

pub(in crate::sql) static PACKAGE_HEAD: Statement = Statement::shared(
    "package_head",
    5,
    "INSERT INTO package_head (package, dist, suite, format, newest_job)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (package, dist, suite, format) DO UPDATE SET newest_job = excluded.newest_job",
);
