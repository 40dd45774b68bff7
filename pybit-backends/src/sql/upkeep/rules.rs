//! What must not be in a database, each as the query that finds it. The numbers in comments are those of the invariants in
//! the farm's reliability plan.

/// What to do where history is broken: nothing can be told from the rest of the rows.
const RESTORE: &str = "stop the servers and restore the newest backup whose check finds nothing; keep this database, it \
                       shows what happened";
const RESUBMIT: &str = "cancel the job, or wait until it has ended, then retry it: a new job begins a history of its own";
const STREAM: &str = "its bytes cannot be told whole: retry the job; until then the log or file is shown with a gap or refused";

/// A rule over rows.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name, for programs.
    pub(super) name: &'static str,
    /// The table whose rows break it.
    pub(super) table: &'static str,
    /// The finding, in words.
    pub(super) what: &'static str,
    /// What to do about it.
    pub(super) advice: &'static str,
    /// Finds the rows that break it: two columns of text, which row and what is wrong in it.
    pub(super) query: &'static str,
}

macro_rules! rules {
    ($($name:literal on $table:literal: $what:literal; $advice:expr; $query:literal;)*) => {
        &[$(Rule { name: $name, table: $table, what: $what, advice: $advice, query: $query },)*]
    };
}

/// Rules over events: what happened to each job, without a gap (I2, I4, I5, I24).
const EVENTS: &[Rule] = rules! {
    "event_gap" on "event": "the events of a job are not numbered 1, 2, 3 and so on"; RESTORE;
    "SELECT 'job ' || job AS at_row, count(*) || ' events, numbered ' || min(number) || ' to ' || max(number) AS found
     FROM event GROUP BY job HAVING min(number) <> 1 OR max(number) <> count(*) ORDER BY job";

    "event_newest" on "event": "the newest event of a job is not the one that the job counts to"; RESTORE;
    "SELECT 'job ' || j.id AS at_row, 'its row version is ' || j.row_version || ', its newest event is '
            || COALESCE(CAST(max(e.number) AS TEXT), 'none') AS found
     FROM job j LEFT JOIN event e ON e.job = j.id
     GROUP BY j.id, j.row_version HAVING j.row_version <> COALESCE(max(e.number), 0) ORDER BY j.id";

    "event_status" on "job": "the status of a job is not that of its newest event"; RESTORE;
    "SELECT 'job ' || j.id AS at_row, 'it is ' || j.status || ', its newest event made it ' || e.to_status AS found
     FROM job j JOIN event e ON e.job = j.id
      AND e.number = (SELECT max(number) FROM event n WHERE n.job = j.id)
     WHERE e.to_status <> j.status ORDER BY j.id";

    "event_chain" on "event": "an event does not begin where the one before it ended"; RESTORE;
    "SELECT 'event ' || job || '/' || number AS at_row, 'from ' || COALESCE(from_status, 'nothing') || ' to ' || to_status
            || ', after ' || COALESCE(before, 'nothing') AS found
     FROM (SELECT job, number, from_status, to_status,
                  lag(to_status) OVER (PARTITION BY job ORDER BY number) AS before FROM event) e
     WHERE COALESCE(from_status, '') <> COALESCE(before, '') OR (from_status IS NULL AND to_status <> 'Waiting')
     ORDER BY job, number";

    "event_illegal" on "event": "an event is a change of status that no job may make"; RESTORE;
    "SELECT 'event ' || job || '/' || number AS at_row, 'from ' || from_status || ' to ' || to_status AS found
     FROM event e WHERE from_status IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM job_transition t WHERE t.from_status = e.from_status AND t.to_status = e.to_status)
     ORDER BY job, number";

    "event_attempt" on "event": "an event is of an older attempt than the one before it, or of one that is not there"; RESTORE;
    "SELECT 'event ' || e.job || '/' || e.number AS at_row, 'of attempt ' || e.attempt AS found
     FROM (SELECT job, number, attempt, lag(attempt, 1, CAST(0 AS BIGINT)) OVER (PARTITION BY job ORDER BY number) AS before
           FROM event) e JOIN job j ON j.id = e.job
     WHERE e.attempt < e.before OR e.attempt > j.attempt ORDER BY e.job, e.number";
};

/// Rules over jobs and their attempts (I3, I6).
const JOBS: &[Rule] = rules! {
    "attempt_gap" on "attempt": "the attempts at a job are not numbered 1, 2, 3 and so on"; RESTORE;
    "SELECT 'job ' || job AS at_row, count(*) || ' attempts, numbered ' || min(number) || ' to ' || max(number) AS found
     FROM attempt GROUP BY job HAVING min(number) <> 1 OR max(number) <> count(*) ORDER BY job";

    "attempt_newest" on "job": "the newest attempt at a job is not the one that the job names"; RESTORE;
    "SELECT 'job ' || j.id AS at_row, 'it names attempt ' || j.attempt || ', its newest is '
            || COALESCE(CAST(max(a.number) AS TEXT), 'none') AS found
     FROM job j LEFT JOIN attempt a ON a.job = j.id
     GROUP BY j.id, j.attempt HAVING j.attempt <> COALESCE(max(a.number), 0) ORDER BY j.id";

    "attempt_open" on "attempt": "an attempt has not ended though nobody is at it"; RESUBMIT;
    "SELECT 'attempt ' || a.job || '/' || a.number AS at_row, 'its job is ' || j.status || ' at attempt ' || j.attempt AS found
     FROM attempt a JOIN job j ON j.id = a.job
     WHERE a.outcome IS NULL AND (a.number <> j.attempt OR j.status NOT IN ('Building', 'Cancelling'))
     ORDER BY a.job, a.number";

    "job_held" on "job": "a job is being built and nobody is known to build it"; RESUBMIT;
    "SELECT 'job ' || j.id AS at_row, 'it is ' || j.status || ' by ' || COALESCE(j.client, 'nobody') || ', attempt ' || j.attempt
            || ' is by ' || COALESCE(a.client, 'nobody') || ' and ' || COALESCE(a.outcome, 'open') AS found
     FROM job j LEFT JOIN attempt a ON a.job = j.id AND a.number = j.attempt
     WHERE j.status IN ('Building', 'Cancelling')
      AND (j.client IS NULL OR a.client IS NULL OR a.client <> j.client OR a.outcome IS NOT NULL)
     ORDER BY j.id";

    "result_unproven" on "job": "a job has a result though its newest attempt did not succeed"; RESTORE;
    "SELECT 'job ' || j.id AS at_row, 'it is ' || j.status || ', its newest attempt '
            || COALESCE(a.outcome, 'has not ended') AS found
     FROM job j LEFT JOIN attempt a ON a.job = j.id AND a.number = j.attempt
     WHERE j.status IN ('Uploaded', 'Done') AND COALESCE(a.outcome, '') <> 'succeeded' ORDER BY j.id";

    "result_dropped" on "attempt": "an attempt succeeded and its job does not show it"; RESTORE;
    "SELECT 'attempt ' || a.job || '/' || a.number AS at_row, 'its job is ' || j.status || ' at attempt ' || j.attempt AS found
     FROM attempt a JOIN job j ON j.id = a.job
     WHERE a.outcome = 'succeeded' AND (a.number <> j.attempt OR j.status NOT IN ('Uploaded', 'Done', 'Failed'))
     ORDER BY a.job, a.number";

    "job_names" on "job": "a job names a job that cannot be what it says";
    "the pages show a wrong neighbour and nothing else breaks; tell the developers how it came about";
    "SELECT 'job ' || j.id AS at_row, 'source job ' || COALESCE(CAST(j.source_job AS TEXT), 'none') || ', retry of '
            || COALESCE(CAST(j.retries_of AS TEXT), 'none') || ', superseded by '
            || COALESCE(CAST(j.superseded_by AS TEXT), 'none') || ', ' || j.status AS found
     FROM job j LEFT JOIN job s ON s.id = j.source_job
     WHERE j.source_job >= j.id OR s.kind <> 'source' OR j.retries_of >= j.id OR j.superseded_by <= j.id
        OR (j.superseded_by IS NOT NULL AND j.status NOT IN ('Cancelling', 'Cancelled'))
     ORDER BY j.id";

    "package_head" on "package_head": "the list of packages does not show the newest job of a package";
    "the next submission of the package mends it; `newest_job` of that row may be set by hand to the number shown";
    "SELECT 'package ' || b.package || ' in ' || b.dist || '/' || b.suite || ' (' || b.format || ')' AS at_row,
            'newest job ' || b.newest || ', shown is ' || COALESCE(CAST(h.newest_job AS TEXT), 'none') AS found
     FROM (SELECT package, dist, suite, format, max(id) AS newest FROM job
           WHERE kind = 'binary' AND version IS NOT NULL GROUP BY package, dist, suite, format) b
     LEFT JOIN package_head h
       ON h.package = b.package AND h.dist = b.dist AND h.suite = b.suite AND h.format = b.format
     WHERE COALESCE(h.newest_job, 0) <> b.newest ORDER BY 1";

    "submission_jobs" on "idempotency": "a submission has fewer jobs than it was answered with"; RESTORE;
    "SELECT 'submission ' || i.submission AS at_row, 'answered with ' || i.planned || ' jobs, there are '
            || (SELECT count(*) FROM job j WHERE j.submission = i.submission) AS found
     FROM idempotency i
     WHERE i.planned > (SELECT count(*) FROM job j WHERE j.submission = i.submission) ORDER BY i.submission";
};

/// Rules over logs and files (I9, I10), and over what opens the farm.
const STREAMS: &[Rule] = rules! {
    "stream_length" on "stream": "the parts of a growing log or file do not add up to its length"; STREAM;
    "SELECT 'stream ' || s.id AS at_row, s.role || ' ' || s.name || ' has ' || s.length || ' bytes, its parts '
            || COALESCE(CAST(sum(p.length) AS TEXT), '0') AS found
     FROM stream s LEFT JOIN stream_part p ON p.stream = s.id
     WHERE s.object IS NULL
     GROUP BY s.id, s.role, s.name, s.length HAVING s.length <> COALESCE(sum(p.length), 0) ORDER BY s.id";

    "stream_gap" on "stream_part": "a part of a log or file does not begin where the one before it ends"; STREAM;
    "SELECT 'part ' || stream || '/' || start_at AS at_row, 'the bytes before it end at ' || before AS found
     FROM (SELECT stream, start_at,
                  lag(start_at + length, 1, CAST(0 AS BIGINT)) OVER (PARTITION BY stream ORDER BY start_at) AS before
           FROM stream_part) p
     WHERE start_at <> before ORDER BY stream, start_at";

    "stream_left_over" on "stream": "a complete log or file still has parts";
    "harmless: the complete one is read; the parts may be deleted";
    "SELECT 'stream ' || s.id AS at_row, s.role || ' ' || s.name || ' is in ' || s.object || ' and in '
            || count(*) || ' parts' AS found
     FROM stream s JOIN stream_part p ON p.stream = s.id
     WHERE s.object IS NOT NULL GROUP BY s.id, s.role, s.name, s.object ORDER BY s.id";

    "stream_size" on "stream": "a complete file is not as it was declared, or has no digest"; STREAM;
    "SELECT 'stream ' || id AS at_row, role || ' ' || name || ' of ' || length || ' bytes, declared '
            || COALESCE(CAST(size AS TEXT), 'none') || ', SHA-256 ' || COALESCE(sha256, 'none') AS found
     FROM stream
     WHERE object IS NOT NULL AND ((role = 'file' AND length <> size) OR sha256 IS NULL OR length(sha256) <> 64)
     ORDER BY id";

    "result_incomplete" on "stream": "a result was accepted without one of its files"; STREAM;
    "SELECT 'stream ' || s.id AS at_row, s.name || ' of attempt ' || a.job || '/' || a.number || ' has ' || s.length || ' of '
            || s.size || ' bytes' AS found
     FROM stream s JOIN attempt a ON a.job = s.job AND a.number = s.attempt
     WHERE a.outcome = 'succeeded' AND s.role = 'file' AND s.object IS NULL ORDER BY s.id";

    "attempt_log" on "attempt": "an attempt has no log"; STREAM;
    "SELECT 'attempt ' || a.job || '/' || a.number AS at_row, 'by ' || a.client AS found
     FROM attempt a
     WHERE NOT EXISTS (SELECT 1 FROM stream s WHERE s.job = a.job AND s.attempt = a.number AND s.role = 'log')
     ORDER BY a.job, a.number";

    "token_digest" on "token": "a token cannot be recognised by anybody"; "revoke it and make another one";
    "SELECT 'token ' || id AS at_row, name || ' has no SHA-256' AS found FROM token WHERE length(sha256) <> 64 ORDER BY id";
};

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [EVENTS, JOBS, STREAMS].into_iter().flatten()
}
