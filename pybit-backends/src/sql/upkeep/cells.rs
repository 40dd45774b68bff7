//! Rows of any table, from one engine into another.

use pybit_core::clock::Timestamp;
use sha2::{Digest, Sha256};

use super::engine::Upkeep;
use super::tables::{Kind, Table};
use crate::sql::{Moment, Value};

/// One value, whatever engine it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Number(Option<i64>),
    Flag(bool),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Moment(Option<Timestamp>),
}

/// A row's values, in the order of the table's columns.
pub(super) fn read<D: Upkeep>(table: &Table, row: &D::Row) -> sqlx::Result<Vec<Cell>> {
    let cell = |(column, kind): &(&str, Kind)| {
        Ok(match kind {
            Kind::Number => Cell::Number(D::read(row, column)?),
            Kind::Flag => Cell::Flag(D::read(row, column)?),
            Kind::Text => Cell::Text(D::read(row, column)?),
            Kind::Bytes => Cell::Bytes(D::read(row, column)?),
            Kind::Moment => {
                Cell::Moment(<D as Value<Option<Moment>>>::read(row, column)?.map(|m| m.0))
            }
        })
    };
    table.columns.iter().map(cell).collect()
}

/// Every row of a table, in the order of its key.
pub(super) fn select(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.key.join(", "))
}

impl Table {
    /// What a row is called in a message: `job 7`, `event 7/3`.
    pub(super) fn name_of(&self, cells: &[Cell]) -> String {
        let value = |key: &&str| {
            let place = self.columns.iter().position(|(name, _)| name == key)?;
            match cells.get(place)? {
                Cell::Number(Some(number)) => Some(number.to_string()),
                Cell::Text(Some(text)) => Some(text.clone()),
                _ => None,
            }
        };
        let key: Vec<_> = self.key.iter().filter_map(value).collect();
        format!("{} {}", self.name, key.join("/"))
    }
}

/// Adds the value as the next parameter.
pub(super) fn bind<D: Upkeep>(arguments: &mut D::Arguments, cell: Cell) -> sqlx::Result<()> {
    let bound = match cell {
        Cell::Number(value) => D::bind(arguments, value),
        Cell::Flag(value) => D::bind(arguments, value),
        Cell::Text(value) => D::bind(arguments, value),
        Cell::Bytes(value) => D::bind(arguments, value),
        Cell::Moment(value) => D::bind(arguments, value.map(Moment)),
    };
    bound.map_err(sqlx::Error::Encode)
}

/// A digest of rows: equal rows in equal order have the same, on every engine.
#[derive(Debug, Default)]
pub(super) struct RowsDigest {
    sha256: Sha256,
    rows: u64,
}

impl RowsDigest {
    pub(super) fn add(&mut self, row: &[Cell]) {
        self.rows += 1;
        for cell in row {
            match cell {
                Cell::Number(value) => self.value(b'n', value.map(i64::to_be_bytes).as_ref()),
                Cell::Flag(value) => self.value(b'f', Some([u8::from(*value)]).as_ref()),
                Cell::Text(value) => self.value(b't', value.as_ref()),
                Cell::Bytes(value) => self.value(b'b', value.as_ref()),
                Cell::Moment(value) => {
                    let micros = value.map(|at| at.as_micros().to_be_bytes());
                    self.value(b'm', micros.as_ref());
                }
            }
        }
    }

    fn value(&mut self, kind: u8, bytes: Option<&impl AsRef<[u8]>>) {
        self.sha256.update([kind, u8::from(bytes.is_some())]);
        if let Some(bytes) = bytes {
            self.sha256.update((bytes.as_ref().len() as u64).to_be_bytes());
            self.sha256.update(bytes);
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Hexadecimal.
    pub(super) fn finish(self) -> String {
        hex::encode(self.sha256.finalize())
    }
}
