//! A whole farm from one database into another.

use futures_util::TryStreamExt;
use pybit_core::{Error, ErrorKind, Result};

use super::cells::{Cell, RowsDigest, bind, read};
use super::engine::{Upkeep, number, run};
use super::tables::{LATER, TABLES, Table};
use super::{CopiedTable, Progress};
use crate::sql::error::failed;
use crate::sql::{SqlStore, commit};

/// Rows that go in one statement, and the values that they may have together: engines limit both.
const MOST_ROWS: usize = 200;
const MOST_VALUES: usize = 4000;

/// Copies every row as it was at one moment, in one transaction on the other side: all of it is there in the end, or
/// nothing. What was written is read again and compared before it is kept.
pub(super) async fn copy<S: Upkeep, T: Upkeep>(
    source: &SqlStore<S>,
    target: &SqlStore<T>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<CopiedTable>> {
    let mut from = source.snapshot().await?;
    let mut to = target.begin().await?;
    refuse_occupied::<T>(&mut to).await?;
    let hushed = T::hush(&mut to).await.map_err(|e| failed::<T>("copy", e))?;
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        copied.push(copy_table::<S, T>(&mut from, &mut to, table, progress).await?);
    }
    let counts = "UPDATE job_count SET jobs = (SELECT count(*) FROM job WHERE job.status = job_count.status)";
    run::<T>(&mut to, counts.to_owned()).await?;
    T::speak(&mut to, hushed).await.map_err(|e| failed::<T>("copy", e))?;
    for (table, before) in TABLES.iter().zip(&copied) {
        compare::<T>(&mut to, table, before).await?;
    }
    commit(from).await?;
    commit(to).await?;
    let mut settling = target.write.acquire().await.map_err(|e| failed::<T>("connect", e))?;
    T::settle(&mut settling).await.map_err(|e| failed::<T>("copy", e))?;
    Ok(copied)
}

async fn refuse_occupied<T: Upkeep>(to: &mut T::Connection) -> Result<()> {
    for table in TABLES {
        let rows = number::<T>(to, format!("SELECT count(*) FROM {}", table.name)).await?;
        if rows > 0 {
            let message = format!(
                "the target is not empty: its table {} has {rows} rows; copy into a new database",
                table.name
            );
            return Err(Error::conflict(message).with_code("target_not_empty"));
        }
    }
    Ok(())
}

fn select(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.key.join(", "))
}

async fn copy_table<S: Upkeep, T: Upkeep>(
    from: &mut S::Connection,
    to: &mut T::Connection,
    table: &Table,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<CopiedTable> {
    let count = format!("SELECT count(*) FROM {}", table.name);
    let total = u64::try_from(number::<S>(from, count).await?).unwrap_or(0);
    let batch = MOST_ROWS.min(MOST_VALUES / table.columns.len());
    let mut digest = RowsDigest::default();
    let (mut waiting, mut later) = (Vec::with_capacity(batch), Vec::new());
    let mut rows = S::rows(from, select(table));
    while let Some(row) = rows.try_next().await.map_err(|e| failed::<S>("copy", e))? {
        let mut cells = read::<S>(table, &row).map_err(|e| failed::<S>("copy", e))?;
        digest.add(&cells);
        put_off(table, &mut cells, &mut later);
        waiting.push(cells);
        if waiting.len() == batch {
            insert::<T>(to, table, std::mem::take(&mut waiting)).await?;
            progress(Progress { table: table.name, rows: digest.rows(), total });
        }
    }
    drop(rows);
    if !waiting.is_empty() {
        insert::<T>(to, table, waiting).await?;
    }
    for (id, reference) in later {
        let set = format!("UPDATE job SET superseded_by = {reference} WHERE id = {id}");
        run::<T>(to, set).await?;
    }
    if table.is_numbered() {
        let last = number::<S>(from, S::last_number(table.name)).await?;
        if last > 0 {
            run::<T>(to, T::set_last_number(table.name, last)).await?;
        }
    }
    progress(Progress { table: table.name, rows: digest.rows(), total });
    Ok(CopiedTable { table: table.name, rows: digest.rows(), sha256: digest.finish() })
}

/// Takes the reference to a later row out, to be filled in when that row is there.
fn put_off(table: &Table, cells: &mut [Cell], later: &mut Vec<(i64, i64)>) {
    if table.name != LATER.0 {
        return;
    }
    let place = table.columns.iter().position(|(name, _)| *name == LATER.1);
    let Some(cell) = place.and_then(|place| cells.get_mut(place)) else { return };
    let Cell::Number(Some(reference)) = std::mem::replace(cell, Cell::Number(None)) else { return };
    if let Some(Cell::Number(Some(id))) = cells.first() {
        later.push((*id, reference));
    }
}

async fn insert<T: Upkeep>(
    to: &mut T::Connection,
    table: &Table,
    rows: Vec<Vec<Cell>>,
) -> Result<()> {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!("INSERT INTO {} ({}) VALUES ", table.name, columns.join(", "));
    for row in 0..rows.len() {
        let first = row * columns.len();
        let params: Vec<_> = (1..=columns.len()).map(|n| format!("${}", first + n)).collect();
        text += &format!("{}({})", if row == 0 { "" } else { ", " }, params.join(", "));
    }
    let mut arguments = T::Arguments::default();
    for cell in rows.into_iter().flatten() {
        bind::<T>(&mut arguments, cell).map_err(|e| failed::<T>("copy", e))?;
    }
    T::run_text(to, text, arguments).await.map_err(|e| failed::<T>("copy", e))
}

/// Reads again what was written.
async fn compare<T: Upkeep>(
    to: &mut T::Connection,
    table: &Table,
    before: &CopiedTable,
) -> Result<()> {
    let mut digest = RowsDigest::default();
    let mut rows = T::rows(to, select(table));
    while let Some(row) = rows.try_next().await.map_err(|e| failed::<T>("copy", e))? {
        digest.add(&read::<T>(table, &row).map_err(|e| failed::<T>("copy", e))?);
    }
    if digest.rows() == before.rows && digest.finish() == before.sha256 {
        return Ok(());
    }
    let message = format!("the copy of the table {} differs; nothing was kept", table.name);
    Err(Error::new(ErrorKind::Internal, message).with_code("copy_differs"))
}
