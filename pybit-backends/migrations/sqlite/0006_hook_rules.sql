-- Which pushes are built, besides those that the servers' own configuration names; rule: a PushRule in JSON.
CREATE TABLE hook_rule (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    hook TEXT NOT NULL,
    rule TEXT NOT NULL
) STRICT;
