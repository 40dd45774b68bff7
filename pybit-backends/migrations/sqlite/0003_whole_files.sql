-- Files are found by their bytes, and those that never became whole by their age.

CREATE INDEX stream_whole ON stream (sha256) WHERE role = 'file' AND object IS NOT NULL;

CREATE INDEX stream_unfinished ON stream (id) WHERE role = 'file' AND object IS NULL AND length > 0;
