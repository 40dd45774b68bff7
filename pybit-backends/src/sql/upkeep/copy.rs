//! A whole farm from one database into another.

use futures_util::TryStreamExt;
use pybit_core::{Error, ErrorKind, Result};

use super::cells::{Cell, RowsDigest, bind, read, select};
use super::engine::{Upkeep, faults, number, run, speak};
use super::tables::{AMONG_JOBS, TABLES, Table};
use super::{CopiedTable, Progress, Step};
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
    refuse_damaged::<S>(&mut from).await?;
    let mut to = target.begin().await?;
    refuse_occupied::<T>(&mut to).await?;
    let hushed = T::hush(&mut to).await.map_err(|e| failed::<T>("copy", e))?;
    let mut telling = Telling { told: progress, rows: 0, total: total::<S>(&mut from).await? };
    let mut copied = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        copied.push(copy_table::<S, T>(&mut from, &mut to, table, &mut telling).await?);
    }
    let counts = "UPDATE job_count SET jobs = (SELECT count(*) FROM job WHERE job.status = job_count.status)";
    run::<T>(&mut to, counts.to_owned()).await?;
    speak::<T>(&mut to, hushed).await?;
    for (table, before) in TABLES.iter().zip(&copied) {
        telling.tell(table, Step::Compared);
        compare::<T>(&mut to, table, before).await?;
    }
    drop(from);
    commit(to).await?;
    settle(target).await;
    Ok(copied)
}

/// The copy is whole by now, whatever becomes of this.
async fn settle<T: Upkeep>(target: &SqlStore<T>) {
    let Some(text) = T::SETTLE else { return };
    let settled = async {
        let mut connection =
            target.write.pool().acquire().await.map_err(|e| failed::<T>("connect", e))?;
        run::<T>(&mut connection, text.to_owned()).await
    };
    if let Err(error) = settled.await {
        tracing::warn!(
            ?error,
            "the engine was not told how many rows it has now; it will find out"
        );
    }
}

/// How far the copy is, told every few hundred rows.
struct Telling<'a> {
    told: &'a (dyn Fn(Progress) + Sync),
    rows: u64,
    total: u64,
}

impl Telling<'_> {
    fn tell(&self, table: &Table, step: Step) {
        (self.told)(Progress { table: table.name, step, rows: self.rows, total: self.total });
    }
}

async fn total<S: Upkeep>(from: &mut S::Connection) -> Result<u64> {
    let mut total = 0;
    for table in TABLES {
        let rows = number::<S>(from, format!("SELECT count(*) FROM {}", table.name)).await?;
        total += u64::try_from(rows).unwrap_or(0);
    }
    Ok(total)
}

async fn refuse_damaged<S: Upkeep>(from: &mut S::Connection) -> Result<()> {
    let found = faults::<S>(from).await?;
    let Some(fault) = found.first() else { return Ok(()) };
    let message = format!("the source is damaged ({fault}); `pybit storage check` says what to do");
    Err(Error::new(ErrorKind::Corrupt, message).with_code("database_damaged"))
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

async fn copy_table<S: Upkeep, T: Upkeep>(
    from: &mut S::Connection,
    to: &mut T::Connection,
    table: &Table,
    telling: &mut Telling<'_>,
) -> Result<CopiedTable> {
    let batch = MOST_ROWS.min(MOST_VALUES / table.columns.len());
    let mut digest = RowsDigest::default();
    let (mut waiting, mut later) = (Vec::with_capacity(batch), Later::default());
    let mut rows = S::rows(from, select(table));
    while let Some(row) = rows.try_next().await.map_err(|e| failed::<S>("copy", e))? {
        let mut cells = read::<S>(table, &row).map_err(|e| failed::<S>("copy", e))?;
        digest.add(&cells);
        if table.name == "job" {
            later.put_off(table, &mut cells);
        }
        waiting.push(cells);
        if waiting.len() == batch {
            telling.rows += batch as u64;
            insert::<T>(to, table, std::mem::take(&mut waiting), true).await?;
            telling.tell(table, Step::Copied);
        }
    }
    drop(rows);
    if !waiting.is_empty() {
        telling.rows += waiting.len() as u64;
        insert::<T>(to, table, waiting, false).await?;
    }
    later.fill_in::<T>(to).await?;
    if table.is_numbered() {
        let last = number::<S>(from, S::last_number(table.name)).await?;
        if last > 0 {
            for text in T::set_last_number(table.name, last) {
                run::<T>(to, text).await?;
            }
        }
    }
    telling.tell(table, Step::Copied);
    Ok(CopiedTable { table: table.name, rows: digest.rows(), sha256: digest.finish() })
}

/// References to jobs that come after, to be filled in when those are there: for each column, which job names which.
#[derive(Default)]
struct Later([Vec<(i64, i64)>; AMONG_JOBS.len()]);

impl Later {
    fn put_off(&mut self, table: &Table, cells: &mut [Cell]) {
        let place = |column: &str| table.columns.iter().position(|(name, _)| *name == column);
        let Some(Cell::Number(Some(id))) = place("id").map(|p| cells[p].clone()) else { return };
        for (column, later) in AMONG_JOBS.iter().zip(&mut self.0) {
            let Some(cell) = place(column).and_then(|p| cells.get_mut(p)) else { continue };
            if let Cell::Number(Some(named)) = *cell
                && named >= id
            {
                *cell = Cell::Number(None);
                later.push((id, named));
            }
        }
    }

    async fn fill_in<T: Upkeep>(self, to: &mut T::Connection) -> Result<()> {
        for (column, later) in AMONG_JOBS.iter().zip(&self.0) {
            for some in later.chunks(MOST_ROWS) {
                let pairs: Vec<_> =
                    some.iter().map(|(id, named)| format!("({id}, {named})")).collect();
                let text = format!(
                    "UPDATE job SET {column} = later.column2 FROM (VALUES {}) AS later WHERE job.id = later.column1",
                    pairs.join(", ")
                );
                run::<T>(to, text).await?;
            }
        }
        Ok(())
    }
}

async fn insert<T: Upkeep>(
    to: &mut T::Connection,
    table: &Table,
    rows: Vec<Vec<Cell>>,
    kept: bool,
) -> Result<()> {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let places = |row: usize| {
        let first = row * columns.len();
        let params: Vec<_> = (1..=columns.len()).map(|n| format!("${}", first + n)).collect();
        format!("({})", params.join(", "))
    };
    let values: Vec<_> = (0..rows.len()).map(places).collect();
    let text =
        format!("INSERT INTO {} ({}) VALUES {}", table.name, columns.join(", "), values.join(", "));
    let mut arguments = T::Arguments::default();
    for cell in rows.into_iter().flatten() {
        bind::<T>(&mut arguments, cell).map_err(|e| failed::<T>("copy", e))?;
    }
    T::run_text(to, text, arguments, kept).await.map_err(|error| refused::<T>(table, error))
}

/// The target does not take a row: it says which table, as its own words may be all there is to go by.
fn refused<T: Upkeep>(table: &Table, error: sqlx::Error) -> Error {
    let error = failed::<T>("copy", error);
    let message = format!(
        "the target does not take a row of the table {} ({}); nothing was kept",
        table.name,
        error.message()
    );
    Error::new(error.kind(), message).with_op("copy").with_code("copy_refused").with_source(error)
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
