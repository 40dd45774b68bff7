//! Orders to watchers, and what removals took away.

use crate::sql::statement::Statement;

macro_rules! order_columns {
    () => {
        "id, row_version, repository, dist, suite, format, kind, package, version, reason, dry_run, \
         principal, requested_at, state, packages, keys, message, ended_at"
    };
}

/// The condition on a row of `job` that no removal took it away. The statement names no other table with a column `id`
/// outside of the brackets.
macro_rules! not_withdrawn {
    () => {
        "NOT EXISTS (SELECT 1 FROM withdrawn w WHERE w.job = job.id)"
    };
}
pub(super) use not_withdrawn;

pub(in crate::sql) static ORDER_ADD: Statement = Statement::shared(
    "order_add",
    13,
    concat!(
        "INSERT INTO package_order (repository, dist, suite, format, kind, package, version, version_key, reason, dry_run,
                                    principal, requested_at, idempotency_key, row_version, state, packages, keys)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, 'pending', '[]', '[]') RETURNING ",
        order_columns!()
    ),
);

pub(in crate::sql) static ORDER_BY_ID: Statement = Statement::shared(
    "order_by_id",
    1,
    concat!("SELECT ", order_columns!(), " FROM package_order WHERE id = $1"),
);

pub(in crate::sql) static ORDER_BY_KEY: Statement = Statement::shared(
    "order_by_key",
    2,
    concat!(
        "SELECT ",
        order_columns!(),
        " FROM package_order WHERE principal = $1 AND idempotency_key = $2"
    ),
);

pub(in crate::sql) static ORDERS_OPEN: Statement = Statement::shared(
    "orders_open",
    2,
    concat!(
        "SELECT ",
        order_columns!(),
        " FROM package_order
         WHERE repository = $1 AND state IN ('pending', 'started') ORDER BY id LIMIT $2"
    ),
);

pub(in crate::sql) static REMOVALS: Statement = Statement::shared(
    "removals",
    3,
    concat!(
        "SELECT ",
        order_columns!(),
        " FROM package_order
         WHERE package = $1 AND kind = 'remove' AND NOT dry_run
           AND (CAST($2 AS TEXT) IS NULL OR repository = $2)
         ORDER BY id DESC LIMIT $3"
    ),
);

pub(in crate::sql) static ORDER_ADVANCE: Statement = Statement::shared(
    "order_advance",
    7,
    "UPDATE package_order
     SET row_version = $2, state = $3, packages = $4, keys = $5, message = $6, ended_at = $7
     WHERE id = $1 AND row_version + 1 = $2",
);

/// The published jobs that the removal `$1` took away and no removal before it.
pub(in crate::sql) static WITHDRAW: Statement = Statement::shared(
    "withdraw",
    1,
    "INSERT INTO withdrawn (job, package_order)
     SELECT job.id, o.id FROM package_order o
     JOIN job ON job.package = o.package AND job.dist = o.dist AND job.suite = o.suite AND job.format = o.format
     WHERE o.id = $1 AND o.kind = 'remove' AND NOT o.dry_run AND job.kind = 'binary' AND job.status = 'Done'
       AND (o.version_key IS NULL OR job.version_key = o.version_key)
     ON CONFLICT (job) DO NOTHING",
);

/// `$1` is a JSON list of numbers.
pub(in crate::sql) static WITHDRAWN: Statement = Statement::split(
    "withdrawn",
    1,
    "SELECT job FROM withdrawn WHERE job IN (SELECT value FROM json_each($1)) ORDER BY job",
    "SELECT job FROM withdrawn
     WHERE job = ANY (SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON)))
     ORDER BY job",
);
