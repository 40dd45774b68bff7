-- How long readers believe a repository, as its watcher tells; told: whether it has.
ALTER TABLE repository ADD COLUMN told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1));
ALTER TABLE repository ADD COLUMN key_expires_at INTEGER;
ALTER TABLE repository ADD COLUMN dated_at INTEGER;
ALTER TABLE repository ADD COLUMN valid_until INTEGER;
ALTER TABLE repository ADD COLUMN trouble TEXT;
