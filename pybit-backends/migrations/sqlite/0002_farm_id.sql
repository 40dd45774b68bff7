-- The farm's own name, by which brokers tell it from another farm. One row.
CREATE TABLE farm (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  TEXT    NOT NULL
) STRICT;
