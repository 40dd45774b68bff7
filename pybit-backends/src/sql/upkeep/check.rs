//! Whether a database agrees with itself.

use futures_util::TryStreamExt;
use pybit_core::Result;

use super::NamedObject;
use super::engine::{Upkeep, number};
use crate::sql::call::Call;
use crate::sql::error::failed;
use crate::sql::{SqlStore, Value, commit, statements};

/// What must not be, each with the query that counts how often it is.
pub(super) const RULES: &[(&str, &str)] = &[
    (
        "jobs whose newest attempt is not the one that they name",
        "SELECT count(*) FROM job
         WHERE attempt <> COALESCE((SELECT max(number) FROM attempt WHERE attempt.job = job.id), 0)",
    ),
    (
        "jobs whose events do not lead to their row version",
        "SELECT count(*) FROM job
         WHERE row_version <> (SELECT count(*) FROM event WHERE event.job = job.id)
            OR row_version <> COALESCE((SELECT max(number) FROM event WHERE event.job = job.id), 0)",
    ),
    (
        "jobs whose last event is of another status",
        "SELECT count(*) FROM job JOIN event ON event.job = job.id AND event.number = job.row_version
         WHERE event.to_status <> job.status",
    ),
    (
        "jobs that are built by nobody",
        "SELECT count(*) FROM job WHERE status IN ('Building', 'Cancelling') AND client IS NULL",
    ),
    (
        "jobs that are built though their attempt has ended",
        "SELECT count(*) FROM job JOIN attempt ON attempt.job = job.id AND attempt.number = job.attempt
         WHERE job.status IN ('Building', 'Cancelling') AND attempt.outcome IS NOT NULL",
    ),
    (
        "packages whose newest job is another one",
        "SELECT count(*) FROM package_head h
         WHERE newest_job <> (SELECT max(id) FROM job
                              WHERE package = h.package AND dist = h.dist AND suite = h.suite AND format = h.format
                                AND kind = 'binary')",
    ),
    (
        "growing logs and files whose parts do not add up to their length",
        "SELECT count(*) FROM stream
         WHERE object IS NULL
           AND length <> COALESCE((SELECT sum(p.length) FROM stream_part p WHERE p.stream = stream.id), 0)",
    ),
    (
        "parts that begin where no other part ends",
        "SELECT count(*) FROM stream_part p
         WHERE p.start_at > 0
           AND NOT EXISTS (SELECT 1 FROM stream_part q
                           WHERE q.stream = p.stream AND q.start_at < p.start_at AND q.start_at + q.length = p.start_at)",
    ),
    (
        "complete logs and files that still have parts",
        "SELECT count(*) FROM stream
         WHERE object IS NOT NULL AND EXISTS (SELECT 1 FROM stream_part p WHERE p.stream = stream.id)",
    ),
    (
        "complete files that are not as long as declared",
        "SELECT count(*) FROM stream WHERE role = 'file' AND object IS NOT NULL AND length <> size",
    ),
];

/// What the engine finds wrong, and which rules are broken, as sentences; all seen at one moment.
pub(super) async fn faults<D: Upkeep>(store: &SqlStore<D>) -> Result<Vec<String>> {
    let mut snapshot = store.snapshot().await?;
    let mut found = D::faults(&mut snapshot).await.map_err(|e| failed::<D>("check", e))?;
    for (what, query) in RULES {
        let count = number::<D>(&mut snapshot, (*query).to_owned()).await?;
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    }
    let counted = Call::<D>::new(&statements::COUNTS)
        .all(&mut snapshot, |c| Ok((c.text("status")?, c.int::<i64>("jobs")?)))
        .await?;
    for (status, jobs) in counted {
        // The status is one that the table's own check allows; it is bound nowhere else as text.
        let there = number::<D>(&mut snapshot, count_of(&status)).await?;
        if there != jobs {
            found.push(format!("{there} jobs are {status}, and {jobs} are counted"));
        }
    }
    commit(snapshot).await?;
    Ok(found)
}

fn count_of(status: &str) -> String {
    let word: String = status.chars().filter(char::is_ascii_alphabetic).collect();
    format!("SELECT count(*) FROM job WHERE status = '{word}'")
}

/// Objects that are handed out at once.
const BATCH: usize = 500;

/// Every stored object that a row names, with the size that it must have where the row knows it.
pub(super) async fn objects<D: Upkeep>(
    store: &SqlStore<D>,
    mut each: impl AsyncFnMut(Vec<NamedObject>) -> Result<()>,
) -> Result<()> {
    let mut snapshot = store.snapshot().await?;
    // An archived log is compressed: only that it is there can be told.
    let all = "SELECT object, CASE role WHEN 'file' THEN length END AS size FROM stream WHERE object IS NOT NULL
               UNION ALL SELECT object, length AS size FROM stream_part";
    let mut rows = D::rows(&mut snapshot, all.to_owned());
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = rows.try_next().await.map_err(|e| failed::<D>("check", e))? {
        let name = <D as Value<String>>::read(&row, "object");
        let size = <D as Value<Option<i64>>>::read(&row, "size");
        let name = name.map_err(|e| failed::<D>("check", e))?;
        let size = size.map_err(|e| failed::<D>("check", e))?;
        batch.push(NamedObject { name, size: size.and_then(|s| u64::try_from(s).ok()) });
        if batch.len() == BATCH {
            each(std::mem::take(&mut batch)).await?;
        }
    }
    drop(rows);
    if batch.is_empty() { Ok(()) } else { each(batch).await }
}
