-- Overlays: whether builds of the repository's suite take its newest packages in preference to the distribution's.
ALTER TABLE repository ADD COLUMN overlay INTEGER NOT NULL DEFAULT 0 CHECK (overlay IN (0, 1));
