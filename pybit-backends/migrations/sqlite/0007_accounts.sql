-- Who proves with a password who it is; hash: what is kept of the password, in the form $ALGORITHM$….
CREATE TABLE account (
    name        TEXT    NOT NULL PRIMARY KEY,
    role        TEXT    NOT NULL CHECK (role IN ('admin', 'submit', 'publish')),
    hash        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    password_at INTEGER NOT NULL,
    expires_at  INTEGER,
    disabled_at INTEGER
) STRICT;
