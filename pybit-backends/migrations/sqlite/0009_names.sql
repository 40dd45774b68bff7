-- The moves of binary packages' names that operators allow in a suite; move: the rest of a SuiteMove in JSON.
CREATE TABLE name_move (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    dist   TEXT NOT NULL,
    suite  TEXT NOT NULL,
    format TEXT NOT NULL,
    move   TEXT NOT NULL
) STRICT;

-- The packages that a repository holds, as its watcher has told; arch 'source' for a source package.
CREATE TABLE published (
    repository TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    arch       TEXT NOT NULL,
    source     TEXT NOT NULL,
    PRIMARY KEY (repository, name, version, arch, source)
) STRICT, WITHOUT ROWID;
