-- Orders about the keys of repositories; keys: a list in JSON. SQLite changes no check, so both tables are made anew.
CREATE TABLE package_order_new (
    id              INTEGER PRIMARY KEY,
    row_version     INTEGER NOT NULL CHECK (row_version > 0),
    repository      TEXT    NOT NULL,
    dist            TEXT    NOT NULL,
    suite           TEXT    NOT NULL,
    format          TEXT    NOT NULL,
    kind            TEXT    NOT NULL CHECK (kind IN ('remove', 'list', 'roll', 'keys')),
    package         TEXT,
    version         TEXT,
    version_key     BLOB,
    reason          TEXT    NOT NULL,
    dry_run         INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    principal       TEXT    NOT NULL,
    requested_at    INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('pending', 'started', 'done', 'failed')),
    packages        TEXT    NOT NULL,
    message         TEXT,
    ended_at        INTEGER,
    idempotency_key TEXT,
    keys            TEXT    NOT NULL DEFAULT '[]',
    CHECK ((version IS NULL) = (version_key IS NULL))
) STRICT;

INSERT INTO package_order_new
    (id, row_version, repository, dist, suite, format, kind, package, version, version_key, reason, dry_run, principal,
     requested_at, state, packages, message, ended_at, idempotency_key)
SELECT id, row_version, repository, dist, suite, format, kind, package, version, version_key, reason, dry_run, principal,
       requested_at, state, packages, message, ended_at, idempotency_key
FROM package_order;

CREATE TABLE withdrawn_new (
    job           INTEGER NOT NULL PRIMARY KEY REFERENCES job (id),
    package_order INTEGER NOT NULL REFERENCES package_order_new (id)
) STRICT, WITHOUT ROWID;

INSERT INTO withdrawn_new (job, package_order) SELECT job, package_order FROM withdrawn;

DROP TABLE withdrawn;
DROP TABLE package_order;
ALTER TABLE package_order_new RENAME TO package_order;
ALTER TABLE withdrawn_new RENAME TO withdrawn;

CREATE INDEX package_order_by_package ON package_order (package, id);
CREATE INDEX package_order_by_state ON package_order (repository, state, id);
CREATE UNIQUE INDEX package_order_by_key ON package_order (principal, idempotency_key);
