//! The packages that repositories hold. `$1` of most is a JSON list of packages, as in `many`.

use crate::sql::statement::Statement;

/// A text with its one difference: where the rows of `$1` come from.
macro_rules! by_listed {
    ($name:literal, $params:literal, $before:literal, $after:literal) => {
        Statement::split(
            $name,
            $params,
            concat!($before, "json_each($1) AS r", $after),
            concat!($before, "json_array_elements(CAST($1 AS JSON)) AS r", $after),
        )
    };
}

pub(in crate::sql) static PUBLISHED: Statement = Statement::shared(
    "published",
    1,
    "SELECT name, version, arch, source FROM published WHERE repository = $1
     ORDER BY name, version, arch, source",
);

pub(in crate::sql) static PUBLISHED_ADD: Statement = by_listed!(
    "published_add",
    2,
    "INSERT INTO published (repository, name, version, arch, source)
     SELECT CAST($2 AS TEXT), r.value ->> 'name', r.value ->> 'version', r.value ->> 'arch', r.value ->> 'source'
     FROM ",
    ""
);

pub(in crate::sql) static PUBLISHED_REMOVE: Statement = by_listed!(
    "published_remove",
    2,
    "DELETE FROM published WHERE repository = $2 AND (name, version, arch, source) IN (
         SELECT r.value ->> 'name', r.value ->> 'version', r.value ->> 'arch', r.value ->> 'source' FROM ",
    ")"
);

pub(in crate::sql) static PUBLISHED_NAMES: Statement = by_listed!(
    "published_names",
    2,
    "SELECT name, version, arch, source FROM published
     WHERE repository = $2 AND arch <> 'source' AND name IN (SELECT r.value ->> 'name' FROM ",
    ") ORDER BY name, version, arch, source"
);
