-- Who proves with a password who it is; hash: what is kept of the password, in the form $ALGORITHM$….
CREATE TABLE account (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    role        TEXT COLLATE "C" NOT NULL CHECK (role IN ('admin', 'submit', 'publish')),
    hash        TEXT COLLATE "C" NOT NULL,
    created_at  TIMESTAMPTZ      NOT NULL,
    password_at TIMESTAMPTZ      NOT NULL,
    expires_at  TIMESTAMPTZ,
    disabled_at TIMESTAMPTZ
);
