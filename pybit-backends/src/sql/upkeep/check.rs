//! Whether a database agrees with itself.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use pybit_core::model::JobStatus;
use pybit_core::{ErrorKind, Result};
use serde::Serialize;

use super::cells::{Cell, read, select};
use super::engine::{Upkeep, faults, number};
use super::names::{self, NAME_CONFLICT};
use super::rules::{self, Rule};
use super::tables::{REFERENCES, Reference, TABLES, TRIGGERS, Table};
use super::words::READS;
use crate::sql::call::Call;
use crate::sql::error::failed;
use crate::sql::{SqlStore, Value, statements};

/// Rows that a finding shows; the rest is counted.
const SHOWN: usize = 20;

/// What is found by more than a query.
pub(super) const OTHERS: [&str; 8] = [
    "engine",
    "reference",
    "job_count",
    "transition",
    "trigger",
    "number",
    "unreadable",
    NAME_CONFLICT,
];

/// Something that must not be in the database of a farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name, for programs: `event_gap`.
    pub rule: &'static str,
    /// The table whose rows are concerned; `None` where it is the database as a whole.
    pub table: Option<&'static str>,
    /// What is wrong, in words.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// How many rows are concerned.
    pub count: u64,
    /// The first twenty of them.
    pub rows: Vec<FoundRow>,
}

/// A row that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundRow {
    /// Which one: `job 7`, `event 7/3`.
    pub row: String,
    /// What is in it.
    pub found: String,
}

/// What a check has read and found.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// How many rows each table has.
    pub rows: BTreeMap<&'static str, u64>,
    /// What must not be; none where the database is whole.
    pub findings: Vec<Finding>,
}

/// Reads every row of every table and follows every rule, all as of one moment. Where the engine finds its own pages
/// damaged, what it cannot read any more is not gone through.
pub(super) async fn check<D: Upkeep>(store: &SqlStore<D>) -> Result<Checked> {
    let mut snapshot = store.snapshot().await?;
    let mut checked = Checked { rows: BTreeMap::new(), findings: Vec::new() };
    checked.findings.extend(engine::<D>(&mut snapshot).await?);
    match go_through::<D>(&mut snapshot, &mut checked).await {
        Err(error) if error.kind() != ErrorKind::Corrupt || checked.findings.is_empty() => {
            Err(error)
        }
        _ => Ok(checked),
    }
}

async fn go_through<D: Upkeep>(
    connection: &mut D::Connection,
    checked: &mut Checked,
) -> Result<()> {
    let findings = &mut checked.findings;
    for reference in REFERENCES {
        findings.extend(orphans::<D>(connection, reference).await?);
    }
    for rule in rules::all() {
        findings.extend(follow::<D>(connection, rule).await?);
    }
    findings.extend(counts::<D>(connection).await?);
    findings.extend(transitions::<D>(connection).await?);
    findings.extend(triggers::<D>(connection).await?);
    findings.extend(numbers::<D>(connection).await?);
    findings.extend(names::conflicts::<D>(connection).await?);
    for table in TABLES {
        let (rows, unreadable) = words::<D>(connection, table).await?;
        checked.rows.insert(table.name, rows);
        checked.findings.extend(unreadable);
    }
    Ok(())
}

/// Collects the rows of one finding.
#[derive(Default)]
pub(super) struct Rows {
    count: u64,
    shown: Vec<FoundRow>,
}

impl Rows {
    pub(super) fn add(&mut self, row: String, found: String) {
        self.count += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(FoundRow { row, found });
        }
    }

    pub(super) fn finding(
        self,
        rule: &'static str,
        table: Option<&'static str>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Option<Finding> {
        let (what, advice) = (what.into(), advice.into());
        let Self { count, shown: rows } = self;
        (count > 0).then_some(Finding { rule, table, what, advice, count, rows })
    }
}

async fn engine<D: Upkeep>(connection: &mut D::Connection) -> Result<Option<Finding>> {
    let mut rows = Rows::default();
    for said in faults::<D>(connection).await? {
        rows.add(D::NAME.to_owned(), said);
    }
    let what = format!("{} itself finds the database damaged", D::NAME);
    let advice = "stop the servers, look at the disk, and restore the newest backup whose check finds nothing";
    Ok(rows.finding("engine", None, what, advice))
}

/// Rows of a query with the columns `at_row` and `found`.
async fn found<D: Upkeep>(connection: &mut D::Connection, query: String) -> Result<Rows> {
    let mut rows = Rows::default();
    let mut seen = D::rows(connection, query);
    while let Some(row) = seen.try_next().await.map_err(|e| failed::<D>("check", e))? {
        let text =
            |column| <D as Value<String>>::read(&row, column).map_err(|e| failed::<D>("check", e));
        rows.add(text("at_row")?, text("found")?);
    }
    Ok(rows)
}

async fn follow<D: Upkeep>(connection: &mut D::Connection, rule: &Rule) -> Result<Option<Finding>> {
    let rows = found::<D>(connection, rule.query.to_owned()).await?;
    Ok(rows.finding(rule.name, Some(rule.table), rule.what, rule.advice))
}

/// Rows that name a row that is not there.
async fn orphans<D: Upkeep>(
    connection: &mut D::Connection,
    reference: &Reference,
) -> Result<Option<Finding>> {
    let Reference { table, columns, parent, keys } = reference;
    let key = TABLES.iter().find(|t| t.name == *table).map_or(&[][..], |t| t.key);
    let text = |columns: &[&str], of: &str| {
        let each = columns.iter().map(|c| format!("CAST({of}.{c} AS TEXT)"));
        each.collect::<Vec<_>>().join(" || '/' || ")
    };
    let given: Vec<_> = columns.iter().map(|c| format!("c.{c} IS NOT NULL")).collect();
    let same: Vec<_> = columns.iter().zip(*keys).map(|(c, k)| format!("p.{k} = c.{c}")).collect();
    let query = format!(
        "SELECT '{table} ' || {} AS at_row, '{parent} ' || {} AS found FROM {table} c
         WHERE {} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {})",
        text(key, "c"),
        text(columns, "c"),
        given.join(" AND "),
        same.join(" AND "),
    );
    let what = format!("a row of {table} names a row of {parent} that is not there");
    let advice = "restore the newest backup whose check finds nothing; rows were deleted by hand or by a faulty restore";
    let rows = found::<D>(connection, query).await?;
    Ok(rows.finding("reference", Some(table), what, advice))
}

/// How many jobs are in each status, as the triggers have counted them.
async fn counts<D: Upkeep>(connection: &mut D::Connection) -> Result<Option<Finding>> {
    let counted = Call::<D>::new(&statements::COUNTS)
        .all(connection, |c| Ok((c.text("status")?, c.int::<i64>("jobs")?)))
        .await?;
    let mut counted: BTreeMap<_, _> = counted.into_iter().collect();
    let mut rows = Rows::default();
    for status in JobStatus::ALL.map(JobStatus::as_str) {
        let there = format!("SELECT count(*) FROM job WHERE status = '{status}'");
        let there = number::<D>(connection, there).await?;
        let counted = counted.remove(status).unwrap_or(0);
        if there != counted {
            rows.add(status.to_owned(), format!("{counted} jobs are counted, {there} are there"));
        }
    }
    let what = "jobs of a status are not as many as are counted";
    let advice = "the figures of the pages are wrong, nothing else is; with the servers stopped: UPDATE job_count SET jobs = \
                  (SELECT count(*) FROM job WHERE job.status = job_count.status), and on PostgreSQL: DELETE FROM job_count_delta";
    Ok(rows.finding("job_count", Some("job_count"), what, advice))
}

/// The table of legal transitions, against the program's own.
async fn transitions<D: Upkeep>(connection: &mut D::Connection) -> Result<Option<Finding>> {
    let query = "SELECT from_status AS at_row, to_status AS found FROM job_transition";
    let mut there = BTreeSet::new();
    let mut seen = D::rows(connection, query.to_owned());
    while let Some(row) = seen.try_next().await.map_err(|e| failed::<D>("check", e))? {
        let text =
            |column| <D as Value<String>>::read(&row, column).map_err(|e| failed::<D>("check", e));
        there.insert((text("at_row")?, text("found")?));
    }
    let pairs = JobStatus::ALL.into_iter().flat_map(|s| s.next().iter().map(move |t| (s, *t)));
    let known: BTreeSet<_> =
        pairs.map(|(s, t)| (s.as_str().to_owned(), t.as_str().to_owned())).collect();
    let mut rows = Rows::default();
    for (from, to) in there.symmetric_difference(&known) {
        let why =
            if known.contains(&(from.clone(), to.clone())) { "is missing" } else { "is not legal" };
        rows.add(format!("{from} to {to}"), why.to_owned());
    }
    let what = "the table of legal changes of status is not the program's";
    let advice = "add or delete these rows of job_transition; without them the database refuses or lets through what it must not";
    Ok(rows.finding("transition", Some("job_transition"), what, advice))
}

async fn triggers<D: Upkeep>(connection: &mut D::Connection) -> Result<Option<Finding>> {
    let mut there = BTreeSet::new();
    let mut seen = D::rows(connection, D::TRIGGERS.to_owned());
    while let Some(row) = seen.try_next().await.map_err(|e| failed::<D>("check", e))? {
        there
            .insert(<D as Value<String>>::read(&row, "word").map_err(|e| failed::<D>("check", e))?);
    }
    let mut rows = Rows::default();
    for name in TRIGGERS.iter().filter(|name| !there.contains(**name)) {
        rows.add(format!("trigger {name}"), "is missing or switched off".to_owned());
    }
    let what = "a trigger that holds the rules where the program fails is not at work";
    let advice = "switch it on again (ALTER TABLE … ENABLE TRIGGER), or copy the farm into a new database, which has them all";
    Ok(rows.finding("trigger", None, what, advice))
}

/// Numbers that the engine would give a second time.
async fn numbers<D: Upkeep>(connection: &mut D::Connection) -> Result<Option<Finding>> {
    let mut rows = Rows::default();
    for table in TABLES.iter().filter(|t| t.is_numbered()) {
        let greatest = format!("SELECT COALESCE(max(id), 0) FROM {}", table.name);
        let greatest = number::<D>(connection, greatest).await?;
        let last = number::<D>(connection, D::last_number(table.name)).await?;
        if last < greatest {
            let found =
                format!("the last number given is {last}, the greatest in use is {greatest}");
            rows.add(format!("table {}", table.name), found);
        }
    }
    let what = "the next row of a table would get a number that is taken";
    let advice = "new rows are refused until then: SELECT setval('TABLE_id_seq', GREATEST) for each table shown";
    Ok(rows.finding("number", None, what, advice))
}

/// Reads a table to its end: how many rows it has, and which of them hold what no program can read.
async fn words<D: Upkeep>(
    connection: &mut D::Connection,
    table: &Table,
) -> Result<(u64, Option<Finding>)> {
    let readers: Vec<_> = READS.iter().filter(|(name, ..)| *name == table.name).collect();
    let place = |column: &str| table.columns.iter().position(|(name, _)| *name == column);
    let (mut count, mut rows) = (0, Rows::default());
    let mut seen = D::rows(connection, select(table));
    while let Some(row) = seen.try_next().await.map_err(|e| failed::<D>("check", e))? {
        count += 1;
        let cells = match read::<D>(table, &row) {
            Ok(cells) => cells,
            Err(error) => {
                rows.add(format!("{} row {count}", table.name), error.to_string());
                continue;
            }
        };
        for (_, column, reads) in &readers {
            let Some(Cell::Text(Some(text))) = place(column).map(|p| &cells[p]) else { continue };
            if let Err(why) = reads(text) {
                rows.add(table.name_of(&cells), format!("{column}: {why}"));
            }
        }
    }
    let what = format!("a row of {} holds what this program cannot read", table.name);
    let advice = "whoever asks for the row gets an error; write what was meant into the column, or restore a backup";
    Ok((count, rows.finding("unreadable", Some(table.name), what, advice)))
}
