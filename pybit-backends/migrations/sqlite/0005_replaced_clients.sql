-- The processes of a client that others have replaced, newest first, each between two spaces: they are refused for good.
ALTER TABLE client ADD COLUMN replaced TEXT NOT NULL DEFAULT '';
