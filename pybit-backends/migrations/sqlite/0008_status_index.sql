-- For lists of jobs in one status alone, which ask for it by this expression. The engine had walked all jobs that anybody
-- builds by it, dead rows among them, to find those of one client, for which there is job_held.
DROP INDEX job_by_status;
CREATE INDEX job_by_status ON job ((status || ''), id);
