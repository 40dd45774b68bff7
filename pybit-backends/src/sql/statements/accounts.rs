//! Tokens, accounts, the farm's name, and whether the database answers.

use crate::sql::statement::Statement;

macro_rules! token_columns {
    () => {
        "id, name, role, client, names, created_at, expires_at, revoked_at"
    };
}

macro_rules! account_columns {
    () => {
        "name, role, names, created_at, password_at, expires_at, disabled_at"
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
    7,
    concat!(
        "INSERT INTO token (name, sha256, role, client, created_at, expires_at, names)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
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

pub(in crate::sql) static ACCOUNT_ADD: Statement = Statement::shared(
    "account_add",
    6,
    concat!(
        "INSERT INTO account (name, role, hash, created_at, password_at, expires_at, names)
         VALUES ($1, $2, $3, $4, $4, $5, $6) RETURNING ",
        account_columns!()
    ),
);

pub(in crate::sql) static ACCOUNTS: Statement = Statement::shared(
    "accounts",
    0,
    concat!("SELECT ", account_columns!(), " FROM account ORDER BY name"),
);

pub(in crate::sql) static ACCOUNT_BY_NAME: Statement = Statement::shared(
    "account_by_name",
    1,
    concat!("SELECT ", account_columns!(), ", hash FROM account WHERE name = $1"),
);

pub(in crate::sql) static ACCOUNT_PASSWORD: Statement = Statement::shared(
    "account_password",
    3,
    "UPDATE account SET hash = $2, password_at = $3 WHERE name = $1",
);

pub(in crate::sql) static ACCOUNT_REHASH: Statement = Statement::shared(
    "account_rehash",
    3,
    "UPDATE account SET hash = $3 WHERE name = $1 AND hash = $2",
);

pub(in crate::sql) static ACCOUNT_DISABLE: Statement = Statement::shared(
    "account_disable",
    2,
    "UPDATE account SET disabled_at = COALESCE(disabled_at, $2) WHERE name = $1",
);

pub(in crate::sql) static ACCOUNT_ENABLE: Statement =
    Statement::shared("account_enable", 1, "UPDATE account SET disabled_at = NULL WHERE name = $1");

pub(in crate::sql) static ACCOUNT_REMOVE: Statement =
    Statement::shared("account_remove", 1, "DELETE FROM account WHERE name = $1");
