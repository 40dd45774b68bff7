-- Jobs come and change many at a time: they are counted once a statement, not once a row.

CREATE OR REPLACE FUNCTION job_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_count_delta (status, jobs) SELECT status, count(*) FROM new_jobs GROUP BY status;
    ELSE
        INSERT INTO job_count_delta (status, jobs)
        SELECT status, sum(jobs) FROM (SELECT status, 1 AS jobs FROM new_jobs
                                       UNION ALL SELECT status, -1 FROM old_jobs) AS moved
        GROUP BY status HAVING sum(jobs) <> 0;
    END IF;
    -- A heartbeat, which moves no job, has nothing to sum up either.
    IF FOUND AND random() < 0.005 AND pg_try_advisory_xact_lock(1885499764, 1) THEN
        WITH summed AS (DELETE FROM job_count_delta RETURNING status, jobs),
             sums AS (SELECT status, sum(jobs) AS jobs FROM summed GROUP BY status)
        UPDATE job_count SET jobs = job_count.jobs + sums.jobs FROM sums WHERE job_count.status = sums.status;
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER job_counts_in ON job;
DROP TRIGGER job_counts_over ON job;

CREATE TRIGGER job_counts_in AFTER INSERT ON job REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION job_counts();

-- A trigger with such tables names no column.
CREATE TRIGGER job_counts_over AFTER UPDATE ON job REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION job_counts();
