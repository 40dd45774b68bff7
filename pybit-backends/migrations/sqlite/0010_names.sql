-- Names of the base distribution that sources may be submitted under: a list of NameGrant in JSON.
-- submission.names: the names that the principal had at that time.
ALTER TABLE token      ADD COLUMN names TEXT NOT NULL DEFAULT '[]';
ALTER TABLE account    ADD COLUMN names TEXT NOT NULL DEFAULT '[]';
ALTER TABLE submission ADD COLUMN names TEXT NOT NULL DEFAULT '[]';
