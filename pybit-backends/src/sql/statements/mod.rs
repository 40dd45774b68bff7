//! Every SQL text of pybit, by noun.
//!
//! House rules, each a difference between engines that was seen to bite: times are bound, never taken from the engine;
//! every `ORDER BY` of a column that may be NULL excludes NULL; an optional filter is
//! `(CAST($1 AS TEXT) IS NULL OR column = $1)`; sums are cast back to `BIGINT`; JSON is opaque text; names compare with
//! `lower()`, because `LIKE` ignores case on one engine only.

mod accounts;
mod attempts;
mod catalog;
mod clients;
mod jobs;
mod lists;
mod many;
mod orders;
mod packages;
mod published;
mod streams;
mod submissions;
mod whole;

pub(super) use accounts::*;
pub(super) use attempts::*;
pub(super) use catalog::*;
pub(super) use clients::*;
pub(super) use jobs::*;
pub(super) use lists::*;
pub(super) use many::*;
pub(super) use orders::*;
pub(super) use packages::*;
pub(super) use published::*;
pub(super) use streams::*;
pub(super) use submissions::*;
pub(super) use whole::*;

use super::statement::Statement;

pub(super) static SCHEMA_VERSION: Statement = Statement::shared(
    "schema_version",
    0,
    "SELECT COALESCE(max(version), 0) AS version FROM _sqlx_migrations",
);

#[cfg(feature = "sqlite")]
pub(super) static SQLITE_VERSION: Statement =
    Statement::shared("sqlite_version", 0, "SELECT sqlite_version() AS version");

#[cfg(feature = "sqlite")]
pub(super) static SQLITE_CHECK: Statement =
    Statement::shared("sqlite_check", 0, "PRAGMA quick_check(1)");

/// Makes the transaction wait for every other one that took one of these numbers, in their order, until it ends.
#[cfg(feature = "postgres")]
pub(super) static POSTGRES_TAKE_TURNS: Statement = Statement::shared(
    "postgres_take_turns",
    1,
    "SELECT count(pg_advisory_xact_lock(n.number))
     FROM (SELECT CAST(value AS BIGINT) AS number FROM json_array_elements_text(CAST($1 AS JSON))
           ORDER BY CAST(value AS BIGINT) OFFSET 0) n",
);

#[cfg(feature = "postgres")]
pub(super) static POSTGRES_NOTIFY: Statement =
    Statement::shared("postgres_notify", 2, "SELECT pg_notify($1, $2)");

#[cfg(feature = "postgres")]
pub(super) static POSTGRES_SERVER: Statement = Statement::shared(
    "postgres_server",
    0,
    "SELECT CAST(current_setting('server_version_num') AS BIGINT) AS version,
            current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby",
);

/// A commit that is answered must be on the disk, whatever the database's own default; stronger ones stay.
#[cfg(feature = "postgres")]
pub(super) static POSTGRES_DURABLE: Statement = Statement::shared(
    "postgres_durable",
    0,
    "SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') = 'off'",
);

/// Every statement that all engines run; tests prepare each against a real database.
pub static ALL: &[&Statement] = &[
    &SCHEMA_VERSION,
    &HEALTH,
    &FARM_NAME,
    &FARM_ID,
    &TOKEN_ADD,
    &TOKENS,
    &TOKEN_BY_DIGEST,
    &TOKEN_REVOKE,
    &ACCOUNT_ADD,
    &ACCOUNTS,
    &ACCOUNT_BY_NAME,
    &ACCOUNT_PASSWORD,
    &ACCOUNT_REHASH,
    &ACCOUNT_DISABLE,
    &ACCOUNT_ENABLE,
    &ACCOUNT_REMOVE,
    &ATTEMPTS,
    &ATTEMPT_BY_CLAIM,
    &ATTEMPT_ADD,
    &ATTEMPT_END,
    &ATTEMPT_REOPEN,
    &TARGETS,
    &TARGET_PUT,
    &REPOSITORIES,
    &REPOSITORY_PUT,
    &RULES,
    &RULE_ADD,
    &RULE_REMOVE,
    &HOOK_RULES,
    &HOOK_RULE_ADD,
    &HOOK_RULE_REMOVE,
    &NAME_MOVES,
    &NAME_MOVE_ADD,
    &NAME_MOVE_REMOVE,
    &PUBLISHED,
    &PUBLISHED_ADD,
    &PUBLISHED_REMOVE,
    &PUBLISHED_NAMES,
    &TARGET_REMOVE,
    &TARGETS_USED,
    &REPOSITORY_REMOVE,
    &CLIENT_BEAT,
    &CLIENTS,
    &CLIENT_BY_NAME,
    &CLIENT_DRAIN,
    &CLIENT_WELL,
    &CLIENT_ILL,
    &LEASE_MOVE,
    &HELD_BY_CLIENT,
    &JOB_BY_ID,
    &JOB_ADD,
    &JOB_ADVANCE,
    &JOB_LOCK,
    &JOB_OUTRUN,
    &JOB_PEEK,
    &JOB_CANDIDATE,
    &JOB_CLAIM,
    &JOB_SUPERSEDE,
    &JOB_POINT_TO_NEWER,
    &JOBS_SUPERSEDED,
    &JOB_NEWER_VERSION,
    &JOB_SAME_VERSION,
    &EVENT_ADD,
    &EVENTS,
    &OUTBOX_ADD,
    &OUTBOX,
    &OUTBOX_SENT,
    &JOBS,
    &JOBS_OF_SUBMISSION,
    &JOBS_OF_PACKAGE,
    &JOBS_OF_CLIENT,
    &JOBS_IN_STATUS,
    &JOBS_IN_SUITE,
    &JOBS_OF_ARCH,
    &JOBS_PLANNED,
    &JOBS_BLOCKED,
    &JOBS_UPLOADED,
    &JOBS_UNPUBLISHABLE,
    &COUNTS,
    &LEASES,
    &DUE_ROUTES,
    &AHEAD_OF,
    &PACKAGES,
    &PACKAGE_NEWEST,
    &PACKAGE_HEAD,
    &ORDER_ADD,
    &ORDER_BY_ID,
    &ORDER_BY_KEY,
    &ORDERS_OPEN,
    &REMOVALS,
    &ORDER_ADVANCE,
    &WITHDRAW,
    &WITHDRAWN,
    &UPLOAD_ADD,
    &UPLOAD_BY_ID,
    &UPLOAD_LOCK,
    &STREAM_ADD,
    &STREAM_BY_ID,
    &STREAM_LOCK,
    &STREAMS_OF_ATTEMPT,
    &STREAMS_OF_UPLOAD,
    &STREAM_INCOMPLETE,
    &STREAM_GROW,
    &STREAM_SEAL,
    &STREAM_RESET,
    &LOGS_TO_SEAL,
    &OBJECTS_OF,
    &FILES_UNFINISHED,
    &PARTS_ALL,
    &PART_ADD,
    &PARTS,
    &PARTS_COVER,
    &PARTS_REMOVE,
    &PARTS_REMOVE_ALL,
    &SUBMISSION_ADD,
    &SUBMISSION_BY_ID,
    &SUBMISSION_BY_KEY,
    &IDEMPOTENCY_ADD,
    &SUBMISSIONS_ADD,
    &JOBS_ADD,
    &JOBS_CONTESTED,
    &KEYS_KNOWN,
    &KEYS_ADD,
    &EVENTS_ADD,
    &OUTBOX_ADD_ALL,
    &PACKAGE_HEADS,
    &JOBS_LOCK,
    &JOBS_ADVANCE,
    &STREAMS_INCOMPLETE,
    &ATTEMPTS_END,
    &CLIENTS_AILING,
    &CLAIMS_KNOWN,
    &JOBS_PEEK,
    &JOBS_HOLD,
    &JOBS_CLAIM,
    &ATTEMPTS_ADD,
    &LOGS_ADD,
];

/// What only PostgreSQL runs.
#[cfg(feature = "postgres")]
pub static OF_POSTGRES: &[&Statement] = &[
    &POSTGRES_TAKE_TURNS,
    &POSTGRES_NOTIFY,
    &POSTGRES_SERVER,
    &POSTGRES_DURABLE,
    &POSTGRES_SUBMIT,
    &POSTGRES_CLAIM,
    &POSTGRES_ADVANCE,
];
