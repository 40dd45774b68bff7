//! Uploads, streams and their parts.

use crate::sql::statement::Statement;

macro_rules! stream_columns {
    () => {
        "id, job, attempt, upload, role, name, size, sha256, length, object"
    };
}

pub(in crate::sql) static UPLOAD_ADD: Statement = Statement::shared(
    "upload_add",
    2,
    "INSERT INTO upload (principal, created_at) VALUES ($1, $2)
     RETURNING id, principal, created_at",
);

pub(in crate::sql) static UPLOAD_BY_ID: Statement = Statement::shared(
    "upload_by_id",
    1,
    "SELECT id, principal, created_at FROM upload WHERE id = $1",
);

/// An upload, held against every other declaration until the transaction ends.
pub(in crate::sql) static UPLOAD_LOCK: Statement = Statement::split(
    "upload_lock",
    1,
    "SELECT id, principal, created_at FROM upload WHERE id = $1",
    "SELECT id, principal, created_at FROM upload WHERE id = $1 FOR NO KEY UPDATE",
);

pub(in crate::sql) static STREAM_ADD: Statement = Statement::shared(
    "stream_add",
    7,
    concat!(
        "INSERT INTO stream (job, attempt, upload, role, name, size, sha256, length)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0) RETURNING ",
        stream_columns!()
    ),
);

pub(in crate::sql) static STREAM_BY_ID: Statement = Statement::shared(
    "stream_by_id",
    1,
    concat!("SELECT ", stream_columns!(), " FROM stream WHERE id = $1"),
);

/// A stream, held against every other change until the transaction ends.
pub(in crate::sql) static STREAM_LOCK: Statement = Statement::split(
    "stream_lock",
    1,
    concat!("SELECT ", stream_columns!(), " FROM stream WHERE id = $1"),
    concat!("SELECT ", stream_columns!(), " FROM stream WHERE id = $1 FOR NO KEY UPDATE"),
);

pub(in crate::sql) static STREAMS_OF_ATTEMPT: Statement = Statement::shared(
    "streams_of_attempt",
    2,
    concat!(
        "SELECT ",
        stream_columns!(),
        " FROM stream WHERE job = $1 AND attempt = $2 ORDER BY id"
    ),
);

pub(in crate::sql) static STREAMS_OF_UPLOAD: Statement = Statement::shared(
    "streams_of_upload",
    1,
    concat!("SELECT ", stream_columns!(), " FROM stream WHERE upload = $1 ORDER BY id"),
);

pub(in crate::sql) static STREAM_INCOMPLETE: Statement = Statement::shared(
    "stream_incomplete",
    2,
    "SELECT name FROM stream
     WHERE job = $1 AND attempt = $2 AND role = 'file' AND object IS NULL ORDER BY id LIMIT 1",
);

pub(in crate::sql) static STREAM_GROW: Statement = Statement::shared(
    "stream_grow",
    3,
    "UPDATE stream SET length = length + $3 WHERE id = $1 AND length = $2 AND object IS NULL",
);

/// A file keeps its declared digest; a log takes the digest of the whole.
pub(in crate::sql) static STREAM_SEAL: Statement = Statement::shared(
    "stream_seal",
    4,
    "UPDATE stream SET object = $3, sha256 = COALESCE(sha256, $4)
     WHERE id = $1 AND length = $2 AND object IS NULL",
);

pub(in crate::sql) static STREAM_RESET: Statement = Statement::shared(
    "stream_reset",
    1,
    "UPDATE stream SET length = 0 WHERE id = $1 AND object IS NULL",
);

pub(in crate::sql) static LOGS_TO_SEAL: Statement = Statement::shared(
    "logs_to_seal",
    1,
    concat!(
        "SELECT ",
        stream_columns!(),
        " FROM stream
         WHERE role = 'log' AND object IS NULL
           AND EXISTS (SELECT 1 FROM attempt
                       WHERE attempt.job = stream.job AND attempt.number = stream.attempt
                         AND attempt.outcome IS NOT NULL)
         ORDER BY id LIMIT $1"
    ),
);

/// The objects of complete files with the digest `$1`.
pub(in crate::sql) static OBJECTS_OF: Statement = Statement::shared(
    "objects_of",
    1,
    "SELECT DISTINCT object FROM stream
     WHERE sha256 = $1 AND role = 'file' AND object IS NOT NULL ORDER BY object",
);

/// Files with pieces that are not whole, of uploads made and of attempts ended before `$1`.
pub(in crate::sql) static FILES_UNFINISHED: Statement = Statement::shared(
    "files_unfinished",
    2,
    "SELECT s.id FROM stream s
     WHERE s.role = 'file' AND s.object IS NULL AND s.length > 0
       AND (EXISTS (SELECT 1 FROM upload u WHERE u.id = s.upload AND u.created_at < $1)
            OR EXISTS (SELECT 1 FROM attempt a
                       WHERE a.job = s.job AND a.number = s.attempt AND a.ended_at < $1))
     ORDER BY s.id LIMIT $2",
);

pub(in crate::sql) static PARTS_ALL: Statement = Statement::shared(
    "parts_all",
    1,
    "SELECT object FROM stream_part WHERE stream = $1 ORDER BY start_at",
);

pub(in crate::sql) static PART_ADD: Statement = Statement::shared(
    "part_add",
    4,
    "INSERT INTO stream_part (stream, start_at, length, object) VALUES ($1, $2, $3, $4)",
);

/// From the part that holds the byte at `$2` on.
pub(in crate::sql) static PARTS: Statement = Statement::shared(
    "parts",
    3,
    "SELECT start_at, length, object FROM stream_part
     WHERE stream = $1 AND start_at + length > $2
       AND start_at >= COALESCE((SELECT max(start_at) FROM stream_part
                                 WHERE stream = $1 AND start_at <= $2), 0)
     ORDER BY start_at LIMIT $3",
);

/// Whether a part starts at `$2`, and the bytes of the parts that start there or before `$3`.
pub(in crate::sql) static PARTS_COVER: Statement = Statement::shared(
    "parts_cover",
    3,
    "SELECT COALESCE(min(start_at), -1) AS first_at,
            CAST(COALESCE(sum(length), 0) AS BIGINT) AS covered
     FROM stream_part WHERE stream = $1 AND start_at >= $2 AND start_at < $3",
);

pub(in crate::sql) static PARTS_REMOVE: Statement = Statement::shared(
    "parts_remove",
    3,
    "DELETE FROM stream_part WHERE stream = $1 AND start_at >= $2 AND start_at < $3",
);

pub(in crate::sql) static PARTS_REMOVE_ALL: Statement =
    Statement::shared("parts_remove_all", 1, "DELETE FROM stream_part WHERE stream = $1");
