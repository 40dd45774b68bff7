//! Every table whose rows make a farm, for what goes through whole databases.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, or NULL.
    Number,
    /// Yes or no.
    Flag,
    /// Text, or NULL.
    Text,
    /// Bytes, or NULL.
    Bytes,
    /// A point in time, or NULL.
    Moment,
}

/// A table, its columns in the order in which they are copied, and what its rows are ordered by.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, Kind)],
    /// The columns of its primary key.
    pub key: &'static [&'static str],
}

impl Table {
    /// Whether its rows are numbered by the engine.
    pub fn is_numbered(&self) -> bool {
        self.key == ["id"]
    }
}

/// References among rows of `job`: one to a later row is filled in when all rows are there.
pub(super) const AMONG_JOBS: [&str; 3] = ["source_job", "retries_of", "superseded_by"];

/// Tables that a migration fills, or that triggers keep.
pub const KEPT_BY_THE_SCHEMA: [&str; 3] = ["job_transition", "job_count", "job_count_delta"];

macro_rules! tables {
    ($($name:literal by $($key:literal),+ { $($kind:ident $($column:literal),+;)+ })*) => {
        &[$(Table {
            name: $name,
            columns: &[$($(($column, Kind::$kind),)+)+],
            key: &[$($key),+],
        },)*]
    };
}

/// In an order in which each refers to earlier ones only.
pub const TABLES: &[Table] = tables! {
    "farm" by "one" { Number "one"; Text "id"; }
    "submission" by "id" { Number "id"; Text "request", "principal", "names"; Moment "created_at"; }
    "idempotency" by "principal", "key" { Text "principal", "key"; Number "submission", "planned"; }
    "job" by "id" {
        Number "id", "submission", "row_version", "attempt", "lease_epoch", "infra_retries", "dep_waits", "priority",
            "weight", "source_job", "retries_of", "superseded_by";
        Text "kind", "package", "version", "dist", "suite", "arch", "format", "env", "status", "client", "lost_by",
            "avoid_client", "unmet", "failure_class", "failure_message", "produced";
        Bytes "version_key";
        Flag "master";
        Moment "avoid_until", "not_before", "created_at", "changed_at";
    }
    "package_head" by "package", "dist", "suite", "format" {
        Text "package", "dist", "suite", "format";
        Number "newest_job";
    }
    "attempt" by "job", "number" {
        Number "job", "number";
        Text "claim_id", "client", "boot", "outcome", "failure_class", "failure_message", "log_sha256";
        Moment "started_at", "ended_at";
    }
    "event" by "job", "number" {
        Number "job", "number", "attempt";
        Text "from_status", "to_status", "actor", "cause";
        Moment "at";
    }
    "outbox" by "id" { Number "id", "job"; }
    "upload" by "id" { Number "id"; Text "principal"; Moment "created_at"; }
    "stream" by "id" {
        Number "id", "job", "attempt", "upload", "size", "length";
        Text "role", "name", "sha256", "object";
    }
    "stream_part" by "stream", "start_at" { Number "stream", "start_at", "length"; Text "object"; }
    "client" by "name" {
        Text "name", "boot", "version", "offers", "replaced";
        Number "slots", "infra_streak";
        Flag "draining";
        Moment "quarantined_until", "seen_at";
    }
    "target" by "dist", "suite", "arch", "format", "env" {
        Text "dist", "suite", "arch", "format", "env";
        Number "weight";
    }
    "repository" by "name" {
        Text "name", "dist", "suite", "format", "url", "public_key", "trouble"; Flag "told", "overlay";
        Moment "key_expires_at", "dated_at", "valid_until";
    }
    "block_rule" by "id" { Number "id"; Text "subject", "pattern", "reason"; }
    "hook_rule" by "id" { Number "id"; Text "hook", "rule"; }
    "name_move" by "id" { Number "id"; Text "dist", "suite", "format", "move"; }
    "published" by "repository", "name", "version", "arch", "source" {
        Text "repository", "name", "version", "arch", "source";
    }
    "token" by "id" {
        Number "id";
        Text "name", "sha256", "role", "client", "names";
        Moment "created_at", "expires_at", "revoked_at";
    }
    "account" by "name" {
        Text "name", "role", "hash", "names";
        Moment "created_at", "password_at", "expires_at", "disabled_at";
    }
    "package_order" by "id" {
        Number "id", "row_version";
        Text "repository", "dist", "suite", "format", "kind", "package", "version", "reason", "principal", "state",
            "packages", "keys", "message", "idempotency_key";
        Bytes "version_key";
        Flag "dry_run";
        Moment "requested_at", "ended_at";
    }
    "withdrawn" by "job" { Number "job", "package_order"; }
};

/// Rows that name a row of another table: the columns that do, that table, and its columns.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// The table whose rows name another.
    pub table: &'static str,
    /// Its columns; a row in which one is NULL names none.
    pub columns: &'static [&'static str],
    /// The other table.
    pub parent: &'static str,
    /// Its columns.
    pub keys: &'static [&'static str],
}

macro_rules! references {
    ($($table:literal ($($column:literal),+) to $parent:literal ($($key:literal),+);)*) => {
        &[$(Reference {
            table: $table,
            columns: &[$($column),+],
            parent: $parent,
            keys: &[$($key),+],
        },)*]
    };
}

/// Every reference of the schema.
pub const REFERENCES: &[Reference] = references! {
    "idempotency" ("submission") to "submission" ("id");
    "job" ("submission") to "submission" ("id");
    "job" ("source_job") to "job" ("id");
    "job" ("retries_of") to "job" ("id");
    "job" ("superseded_by") to "job" ("id");
    "package_head" ("newest_job") to "job" ("id");
    "attempt" ("job") to "job" ("id");
    "event" ("job") to "job" ("id");
    "outbox" ("job") to "job" ("id");
    "withdrawn" ("job") to "job" ("id");
    "withdrawn" ("package_order") to "package_order" ("id");
    "stream" ("upload") to "upload" ("id");
    "stream" ("job", "attempt") to "attempt" ("job", "number");
    "stream_part" ("stream") to "stream" ("id");
};

/// The triggers that hold what the program promises, where it fails.
pub const TRIGGERS: [&str; 7] = [
    "job_starts_waiting",
    "job_obeys_the_table",
    "job_stays",
    "job_counts_in",
    "job_counts_over",
    "event_is_kept",
    "event_is_final",
];
