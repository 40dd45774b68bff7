//! Attempts.

use crate::sql::statement::Statement;

pub(in crate::sql) static ATTEMPTS: Statement = Statement::shared(
    "attempts",
    1,
    "SELECT a.job, a.number, a.client, a.boot, a.outcome, a.failure_class, a.failure_message,
            a.log_sha256, a.started_at, a.ended_at, COALESCE(s.length, 0) AS log_length
     FROM attempt a
     LEFT JOIN stream s ON s.job = a.job AND s.attempt = a.number AND s.role = 'log'
     WHERE a.job = $1 ORDER BY a.number",
);

pub(in crate::sql) static ATTEMPT_BY_CLAIM: Statement = Statement::shared(
    "attempt_by_claim",
    2,
    "SELECT job, number FROM attempt WHERE claim_id = $1 AND client = $2",
);

pub(in crate::sql) static ATTEMPT_ADD: Statement = Statement::shared(
    "attempt_add",
    6,
    "INSERT INTO attempt (job, number, claim_id, client, boot, started_at)
     VALUES ($1, $2, $3, $4, $5, $6)",
);

pub(in crate::sql) static ATTEMPT_END: Statement = Statement::shared(
    "attempt_end",
    7,
    "UPDATE attempt
     SET outcome = $3, failure_class = $4, failure_message = $5, log_sha256 = $6, ended_at = $7
     WHERE job = $1 AND number = $2 AND outcome IS NULL",
);

pub(in crate::sql) static ATTEMPT_REOPEN: Statement = Statement::shared(
    "attempt_reopen",
    2,
    "UPDATE attempt
     SET outcome = NULL, failure_class = NULL, failure_message = NULL, log_sha256 = NULL,
         ended_at = NULL
     WHERE job = $1 AND number = $2",
);
