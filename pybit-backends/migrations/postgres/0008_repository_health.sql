-- How long readers believe a repository, as its watcher tells; told: whether it has.
ALTER TABLE repository ADD COLUMN told BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE repository ADD COLUMN key_expires_at TIMESTAMPTZ;
ALTER TABLE repository ADD COLUMN dated_at TIMESTAMPTZ;
ALTER TABLE repository ADD COLUMN valid_until TIMESTAMPTZ;
ALTER TABLE repository ADD COLUMN trouble TEXT COLLATE "C";
