//! Submissions and the keys that make them harmless to repeat.

use crate::sql::statement::Statement;

pub(in crate::sql) static SUBMISSION_ADD: Statement = Statement::shared(
    "submission_add",
    4,
    "INSERT INTO submission (request, principal, created_at, names) VALUES ($1, $2, $3, $4)
     RETURNING id, request, principal, created_at, names",
);

pub(in crate::sql) static SUBMISSION_BY_ID: Statement = Statement::shared(
    "submission_by_id",
    1,
    "SELECT id, request, principal, created_at, names FROM submission WHERE id = $1",
);

pub(in crate::sql) static SUBMISSION_BY_KEY: Statement = Statement::shared(
    "submission_by_key",
    2,
    "SELECT s.id, s.request, s.principal, s.created_at, s.names, i.planned
     FROM idempotency i JOIN submission s ON s.id = i.submission
     WHERE i.principal = $1 AND i.key = $2",
);

pub(in crate::sql) static IDEMPOTENCY_ADD: Statement = Statement::shared(
    "idempotency_add",
    4,
    "INSERT INTO idempotency (principal, key, submission, planned) VALUES ($1, $2, $3, $4)",
);
