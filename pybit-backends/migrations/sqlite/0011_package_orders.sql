-- Orders to the watchers of repositories, and their record; packages: a list in JSON.
CREATE TABLE package_order (
    id           INTEGER PRIMARY KEY,
    row_version  INTEGER NOT NULL CHECK (row_version > 0),
    repository   TEXT    NOT NULL,
    dist         TEXT    NOT NULL,
    suite        TEXT    NOT NULL,
    format       TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('remove', 'list')),
    package      TEXT,
    version      TEXT,
    version_key  BLOB,
    reason       TEXT    NOT NULL,
    dry_run      INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    principal    TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'started', 'done', 'failed')),
    packages     TEXT    NOT NULL,
    message      TEXT,
    ended_at     INTEGER,
    CHECK ((version IS NULL) = (version_key IS NULL))
) STRICT;

CREATE INDEX package_order_by_package ON package_order (package, id);
CREATE INDEX package_order_by_state ON package_order (repository, state, id);

-- Jobs whose publication a removal took away: the version rules pass over them.
CREATE TABLE withdrawn (
    job           INTEGER NOT NULL PRIMARY KEY REFERENCES job (id),
    package_order INTEGER NOT NULL REFERENCES package_order (id)
) STRICT, WITHOUT ROWID;
