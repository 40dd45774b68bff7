//! Tokens, the farm's name, and whether the database answers.

use crate::sql::statement::Statement;

macro_rules! token_columns {
    () => {
        "id, name, role, client, created_at, expires_at, revoked_at"
    };
}

pub(in crate::sql) static HEALTH: Statement =
    Statement::shared("health", 0, "SELECT count(*) AS statuses FROM job_count");

pub(in crate::sql) static FARM_NAME: Statement = Statement::shared(
    "farm_name",
    1,
    "INSERT INTO farm (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING",
);

pub(in crate::sql) static FARM_ID: Statement =
    Statement::shared("farm_id", 0, "SELECT id FROM farm WHERE one = 1");

pub(in crate::sql) static TOKEN_ADD: Statement = Statement::shared(
    "token_add",
    6,
    concat!(
        "INSERT INTO token (name, sha256, role, client, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING ",
        token_columns!()
    ),
);

pub(in crate::sql) static TOKENS: Statement =
    Statement::shared("tokens", 0, concat!("SELECT ", token_columns!(), " FROM token ORDER BY id"));

pub(in crate::sql) static TOKEN_BY_DIGEST: Statement = Statement::shared(
    "token_by_digest",
    1,
    concat!("SELECT ", token_columns!(), " FROM token WHERE sha256 = $1"),
);

pub(in crate::sql) static TOKEN_REVOKE: Statement = Statement::shared(
    "token_revoke",
    2,
    "UPDATE token SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1",
);
