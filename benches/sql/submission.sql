-- What one submission of two jobs writes and asks, as one transaction of pgbench: the same rows, each of its own statement.
\set n random(1, 1000000000)
BEGIN;
SELECT pg_advisory_xact_lock(:n);
INSERT INTO submission (request, principal, created_at)
VALUES ('{"source": {"method": "upload","upload": 1,"main": "load-pgbench-1_1.0-1.dsc"},"suite": "bookworm","dist": "Debian","format": "deb","env": "host","priority": 0,"force": false}',
        'pgbench', now()) RETURNING id AS submission \gset
SELECT id FROM job WHERE package = 'pgbench-' || :submission AND dist = 'Debian' AND suite = 'bookworm' AND arch = 'amd64'
    AND format = 'deb' AND env = 'host' AND version_key <= '\x01' AND status IN ('Waiting', 'Blocked', 'Building') ORDER BY id;
SELECT id FROM job WHERE package = 'pgbench-' || :submission AND dist = 'Debian' AND suite = 'bookworm' AND arch = 'arm64'
    AND format = 'deb' AND env = 'host' AND version_key <= '\x01' AND status IN ('Waiting', 'Blocked', 'Building') ORDER BY id;
SELECT id FROM job WHERE package = 'pgbench-' || :submission AND dist = 'Debian' AND suite = 'bookworm' AND format = 'deb'
    AND version_key >= '\x01' AND kind = 'binary' AND status NOT IN ('Failed', 'Cancelled', 'Cancelling')
    ORDER BY version_key DESC, id DESC LIMIT 1;
INSERT INTO job (submission, kind, package, version, version_key, dist, suite, arch, format, env, master, weight, priority,
                 not_before, created_at, changed_at, status, row_version, attempt, lease_epoch, infra_retries, dep_waits,
                 lost_by, unmet, produced)
VALUES (:submission, 'binary', 'pgbench-' || :submission, '1.0-1', '\x01', 'Debian', 'bookworm', 'amd64', 'deb', 'host', false,
        0, 0, 'epoch', now(), now(), 'Waiting', 1, 0, 0, 0, 0, '[]', '[]', '[]') RETURNING id AS first \gset
INSERT INTO job (submission, kind, package, version, version_key, dist, suite, arch, format, env, master, weight, priority,
                 not_before, created_at, changed_at, status, row_version, attempt, lease_epoch, infra_retries, dep_waits,
                 lost_by, unmet, produced)
VALUES (:submission, 'binary', 'pgbench-' || :submission, '1.0-1', '\x01', 'Debian', 'bookworm', 'arm64', 'deb', 'host', false,
        0, 0, 'epoch', now(), now(), 'Waiting', 1, 0, 0, 0, 0, '[]', '[]', '[]') RETURNING id AS second \gset
INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
VALUES (:first, 1, 0, NULL, 'Waiting', 'pgbench', 'submitted', now());
INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
VALUES (:second, 1, 0, NULL, 'Waiting', 'pgbench', 'submitted', now());
INSERT INTO outbox (job) VALUES (:first);
INSERT INTO outbox (job) VALUES (:second);
INSERT INTO package_head (package, dist, suite, format, newest_job)
VALUES ('pgbench-' || :submission, 'Debian', 'bookworm', 'deb', :second)
ON CONFLICT (package, dist, suite, format) DO UPDATE SET newest_job = excluded.newest_job;
COMMIT;
