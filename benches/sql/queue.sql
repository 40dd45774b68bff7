-- Brings a farm to :jobs waiting jobs: submissions of two jobs each, with everything that a real one leaves behind once its
-- hints are sent. Rows are made as one statement each, without the triggers that look at every row.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL session_replication_role = replica;
SET LOCAL synchronous_commit = off;

CREATE TEMP TABLE fresh ON COMMIT DROP AS
WITH wanted AS (
    SELECT greatest(0, :jobs - count(*)) / 2 AS submissions FROM job WHERE status IN ('Waiting', 'Blocked', 'Building')
), made AS (
    INSERT INTO submission (request, principal, created_at)
    SELECT json_build_object(
               'source', json_build_object('method', 'upload', 'upload', :upload, 'main', :'main'),
               'suite', 'bookworm', 'dist', 'Debian', 'format', 'deb', 'env', 'host', 'priority', 0, 'force', false),
           'seed', now()
    FROM wanted, generate_series(1, wanted.submissions)
    RETURNING id
)
SELECT id FROM made;

INSERT INTO job (submission, kind, package, version, version_key, dist, suite, arch, format, env, master, weight,
                 priority, not_before, created_at, changed_at, status, row_version, attempt, lease_epoch,
                 infra_retries, dep_waits, lost_by, unmet, produced)
SELECT fresh.id, 'binary', 'seed-' || fresh.id, :'version', decode(:'key', 'hex'), 'Debian', 'bookworm', arch, 'deb',
       'host', false, 0, 0, 'epoch', now(), now(), 'Waiting', 1, 0, 0, 0, 0, '[]', '[]', '[]'
FROM fresh CROSS JOIN (VALUES ('amd64'), ('arm64')) a (arch);

INSERT INTO event (job, number, attempt, from_status, to_status, actor, cause, at)
SELECT job.id, 1, 0, NULL, 'Waiting', 'seed', 'submitted', now() FROM job JOIN fresh ON fresh.id = job.submission;

INSERT INTO package_head (package, dist, suite, format, newest_job)
SELECT package, dist, suite, format, max(job.id) FROM job JOIN fresh ON fresh.id = job.submission
GROUP BY package, dist, suite, format;

UPDATE job_count SET jobs = jobs + (SELECT count(*) * 2 FROM fresh) WHERE status = 'Waiting';
COMMIT;
VACUUM ANALYZE;
CHECKPOINT;
