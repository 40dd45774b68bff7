-- The farm's state. Times are microseconds since 1970-01-01 00:00 UTC; lists and requests are opaque JSON text.

CREATE TABLE submission (
    id         INTEGER PRIMARY KEY,
    request    TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- planned: how many jobs the request became at once; jobs that followed later are not part of the first answer.
CREATE TABLE idempotency (
    principal  TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    submission INTEGER NOT NULL REFERENCES submission (id),
    planned    INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

-- The legal transitions, the second line behind JobStatus::next.
CREATE TABLE job_transition (
    from_status TEXT NOT NULL,
    to_status   TEXT NOT NULL,
    PRIMARY KEY (from_status, to_status)
) STRICT, WITHOUT ROWID;

INSERT INTO job_transition (from_status, to_status) VALUES
    ('Waiting', 'Building'), ('Waiting', 'Cancelled'), ('Waiting', 'Failed'),
    ('Blocked', 'Waiting'), ('Blocked', 'Cancelled'), ('Blocked', 'Failed'),
    ('Building', 'Waiting'), ('Building', 'Blocked'), ('Building', 'Cancelling'),
    ('Building', 'Uploaded'), ('Building', 'Failed'),
    ('Cancelling', 'Cancelled'),
    ('Uploaded', 'Done'), ('Uploaded', 'Failed');

CREATE TABLE job (
    id              INTEGER PRIMARY KEY,
    submission      INTEGER NOT NULL REFERENCES submission (id),
    kind            TEXT    NOT NULL CHECK (kind IN ('source', 'binary')),
    package         TEXT    NOT NULL,
    version         TEXT,
    version_key     BLOB,
    dist            TEXT    NOT NULL,
    suite           TEXT    NOT NULL,
    arch            TEXT    NOT NULL,
    format          TEXT    NOT NULL,
    env             TEXT    NOT NULL,
    master          INTEGER NOT NULL CHECK (master IN (0, 1)),
    status          TEXT    NOT NULL CHECK (status IN ('Waiting', 'Blocked', 'Building', 'Cancelling',
                                                       'Uploaded', 'Done', 'Failed', 'Cancelled')),
    row_version     INTEGER NOT NULL CHECK (row_version > 0),
    attempt         INTEGER NOT NULL CHECK (attempt >= 0),
    client          TEXT,
    lease_epoch     INTEGER NOT NULL,
    infra_retries   INTEGER NOT NULL,
    dep_waits       INTEGER NOT NULL,
    lost_by         TEXT    NOT NULL,
    avoid_client    TEXT,
    avoid_until     INTEGER,
    not_before      INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    weight          INTEGER NOT NULL,
    unmet           TEXT    NOT NULL,
    failure_class   TEXT,
    failure_message TEXT,
    produced        TEXT    NOT NULL,
    source_job      INTEGER REFERENCES job (id),
    retries_of      INTEGER REFERENCES job (id),
    superseded_by   INTEGER REFERENCES job (id),
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    CHECK ((avoid_client IS NULL) = (avoid_until IS NULL)),
    CHECK ((failure_class IS NULL) = (failure_message IS NULL))
) STRICT;

-- Claim: one lookup an offer; not_before makes the list of due routes a walk of this index alone.
CREATE INDEX job_claim ON job (dist, suite, arch, format, env, priority DESC, weight DESC, id, not_before)
    WHERE status = 'Waiting';
-- Supersede: the unfinished jobs of one instance by version. A version is built once at a time; a result that is already
-- Uploaded stays beside a forced rebuild.
CREATE UNIQUE INDEX job_unfinished ON job (package, dist, suite, arch, format, env, version_key)
    WHERE status IN ('Waiting', 'Blocked', 'Building');
-- The version rules: what the suite has or is going to have.
CREATE INDEX job_version ON job (package, dist, suite, format, version_key DESC, id DESC)
    WHERE kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling');
CREATE INDEX job_held ON job (client, status) WHERE status IN ('Building', 'Cancelling');
CREATE INDEX job_uploaded ON job (dist, suite, format, id) WHERE status = 'Uploaded';
-- Lists, newest first, by their most selective filter.
CREATE INDEX job_by_submission ON job (submission, id);
CREATE INDEX job_by_package ON job (package, id);
CREATE INDEX job_by_client ON job (client, id) WHERE client IS NOT NULL;
CREATE INDEX job_by_status ON job (status, id);
CREATE INDEX job_by_suite ON job (suite, arch, id);
CREATE INDEX job_by_arch ON job (arch, id);

CREATE TRIGGER job_starts_waiting BEFORE INSERT ON job
WHEN NEW.status <> 'Waiting' OR NEW.row_version <> 1
BEGIN SELECT RAISE(ABORT, 'a job starts Waiting, at row version 1'); END;

CREATE TRIGGER job_obeys_the_table BEFORE UPDATE OF status ON job
WHEN NOT EXISTS (SELECT 1 FROM job_transition WHERE from_status = OLD.status AND to_status = NEW.status)
BEGIN SELECT RAISE(ABORT, 'illegal transition of a job'); END;

CREATE TRIGGER job_stays BEFORE DELETE ON job
BEGIN SELECT RAISE(ABORT, 'a job is never deleted'); END;

-- How many jobs are in each status, kept by the triggers below: no page view counts the jobs themselves.
CREATE TABLE job_count (
    status TEXT    NOT NULL PRIMARY KEY,
    jobs   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO job_count (status, jobs) VALUES
    ('Waiting', 0), ('Blocked', 0), ('Building', 0), ('Cancelling', 0),
    ('Uploaded', 0), ('Done', 0), ('Failed', 0), ('Cancelled', 0);

CREATE TRIGGER job_counts_in AFTER INSERT ON job
BEGIN UPDATE job_count SET jobs = jobs + 1 WHERE status = NEW.status; END;

CREATE TRIGGER job_counts_over AFTER UPDATE OF status ON job
BEGIN
    UPDATE job_count SET jobs = jobs - 1 WHERE status = OLD.status;
    UPDATE job_count SET jobs = jobs + 1 WHERE status = NEW.status;
END;

-- The newest binary job of each package in each suite, so that the list of packages never walks the jobs.
CREATE TABLE package_head (
    package    TEXT    NOT NULL,
    dist       TEXT    NOT NULL,
    suite      TEXT    NOT NULL,
    format     TEXT    NOT NULL,
    newest_job INTEGER NOT NULL REFERENCES job (id),
    PRIMARY KEY (package, dist, suite, format)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    job             INTEGER NOT NULL REFERENCES job (id),
    number          INTEGER NOT NULL CHECK (number > 0),
    claim_id        TEXT    NOT NULL,
    client          TEXT    NOT NULL,
    boot            TEXT    NOT NULL,
    outcome         TEXT CHECK (outcome IN ('succeeded', 'failed', 'refused', 'lost', 'cancelled')),
    failure_class   TEXT,
    failure_message TEXT,
    log_sha256      TEXT,
    started_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    PRIMARY KEY (job, number),
    UNIQUE (claim_id, client),
    CHECK ((outcome IS NULL) = (ended_at IS NULL)),
    CHECK ((failure_class IS NULL) = (failure_message IS NULL))
) STRICT;

CREATE UNIQUE INDEX attempt_succeeds_once ON attempt (job) WHERE outcome = 'succeeded';

CREATE TABLE event (
    job         INTEGER NOT NULL REFERENCES job (id),
    number      INTEGER NOT NULL CHECK (number > 0),
    attempt     INTEGER NOT NULL,
    from_status TEXT,
    to_status   TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    cause       TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER event_is_kept BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;

CREATE TRIGGER event_is_final BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;

-- Hints that are not sent yet; a sent one is deleted. AUTOINCREMENT, because marking an old number twice must not hit a
-- new row.
CREATE TABLE outbox (
    id  INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES job (id)
) STRICT;

CREATE TABLE upload (
    id         INTEGER PRIMARY KEY,
    principal  TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE stream (
    id      INTEGER PRIMARY KEY,
    job     INTEGER,
    attempt INTEGER,
    upload  INTEGER REFERENCES upload (id),
    role    TEXT    NOT NULL CHECK (role IN ('log', 'file')),
    name    TEXT    NOT NULL,
    size    INTEGER CHECK (size >= 0),
    sha256  TEXT,
    length  INTEGER NOT NULL CHECK (length >= 0),
    object  TEXT,
    UNIQUE (job, attempt, role, name),
    UNIQUE (upload, role, name),
    FOREIGN KEY (job, attempt) REFERENCES attempt (job, number),
    CHECK ((job IS NULL) = (attempt IS NULL) AND (job IS NULL) <> (upload IS NULL)),
    CHECK (role = 'log' OR (size IS NOT NULL AND sha256 IS NOT NULL AND length <= size))
) STRICT;

CREATE INDEX stream_log_to_seal ON stream (id) WHERE role = 'log' AND object IS NULL;

CREATE TABLE stream_part (
    stream   INTEGER NOT NULL REFERENCES stream (id),
    start_at INTEGER NOT NULL CHECK (start_at >= 0),
    length   INTEGER NOT NULL CHECK (length > 0),
    object   TEXT    NOT NULL,
    PRIMARY KEY (stream, start_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE client (
    name              TEXT    NOT NULL PRIMARY KEY,
    boot              TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    slots             INTEGER NOT NULL,
    offers            TEXT    NOT NULL,
    draining          INTEGER NOT NULL CHECK (draining IN (0, 1)),
    infra_streak      INTEGER NOT NULL,
    quarantined_until INTEGER NOT NULL,
    seen_at           INTEGER NOT NULL
) STRICT;

CREATE TABLE target (
    dist   TEXT    NOT NULL,
    suite  TEXT    NOT NULL,
    arch   TEXT    NOT NULL,
    format TEXT    NOT NULL,
    env    TEXT    NOT NULL,
    weight INTEGER NOT NULL,
    PRIMARY KEY (dist, suite, arch, format, env)
) STRICT, WITHOUT ROWID;

CREATE TABLE repository (
    name       TEXT NOT NULL PRIMARY KEY,
    dist       TEXT NOT NULL,
    suite      TEXT NOT NULL,
    format     TEXT NOT NULL,
    url        TEXT,
    public_key TEXT
) STRICT;

-- AUTOINCREMENT, because a number in a script must not come to name another rule.
CREATE TABLE block_rule (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL CHECK (subject IN ('package', 'source')),
    pattern TEXT NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

CREATE TABLE token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    sha256     TEXT    NOT NULL UNIQUE,
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'submit', 'client', 'publish')),
    client     TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    CHECK ((role = 'client') = (client IS NOT NULL))
) STRICT;
