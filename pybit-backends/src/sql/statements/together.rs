//! What PostgreSQL writes at one asking instead of three. Each parameter is a JSON list as in [`many`](super::many); the rows
//! that are counted are those of the last list. References are checked at the end of a statement, so that its parts may
//! come in any order.

use super::many::{
    attempts_add, attempts_end, events_add, logs_add, outbox_add_all, package_heads,
};
use crate::sql::statement::Statement;

/// A text of `many` for the first or the second list.
macro_rules! of_list {
    ($text:ident, 1) => {
        of_list!($text, "json_array_elements(CAST($1 AS JSON)) AS r")
    };
    ($text:ident, 2) => {
        of_list!($text, "json_array_elements(CAST($2 AS JSON)) AS r")
    };
    ($text:ident, $rows:literal) => {
        $text!(
            $rows,
            "decode(",
            ", 'hex')",
            "(TIMESTAMPTZ 'epoch' + INTERVAL '1 microsecond' * CAST(",
            " AS BIGINT))"
        )
    };
}

/// New jobs: their packages, their events, and a hint for each.
pub(in crate::sql) static POSTGRES_JOBS_NOTE: Statement = Statement::shared(
    "jobs_note",
    2,
    concat!(
        "WITH head AS (",
        of_list!(package_heads, 1),
        "), hint AS (",
        of_list!(outbox_add_all, 2),
        ") ",
        of_list!(events_add, 2)
    ),
);

/// New attempts: their rows, their empty logs, and their events.
pub(in crate::sql) static POSTGRES_ATTEMPTS_NOTE: Statement = Statement::shared(
    "attempts_note",
    2,
    concat!(
        "WITH began AS (",
        of_list!(attempts_add, 1),
        "), log AS (",
        of_list!(logs_add, 1),
        ") ",
        of_list!(events_add, 2)
    ),
);

/// Changes: their events, and the ends of attempts.
pub(in crate::sql) static POSTGRES_CHANGES_NOTE: Statement = Statement::shared(
    "changes_note",
    2,
    concat!(
        "WITH noted AS (",
        of_list!(events_add, 1),
        ") ",
        of_list!(attempts_end, 2),
        " AND attempt.job = ANY (ARRAY(SELECT CAST(e.value ->> 'job' AS BIGINT)
                                       FROM json_array_elements(CAST($2 AS JSON)) AS e))"
    ),
);
