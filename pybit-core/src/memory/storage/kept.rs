//! The state as kept rows: `TABLE/KEY` and value, both in JSON.

use super::State;
use super::table::unreadable;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Rows, Write};

/// How rows are written down. A change that an older pybit would misread counts it on and reads the former ones too.
const FORMAT: u32 = 1;

/// Does the same with every table of the state.
macro_rules! tables {
    ($($table:ident)*) => {
        impl State {
            /// The rows that the transaction has changed.
            pub(super) fn take_writes(&mut self) -> Result<Vec<Write>> {
                let mut writes = Vec::new();
                $(self.$table.take_writes(stringify!($table), &mut writes)?;)*
                Ok(writes)
            }

            pub(super) fn forget_changes(&mut self) {
                $(self.$table.forget_changes();)*
            }

            fn take_row(&mut self, row: &str, value: &str) -> Result<()> {
                let (table, key) = row.split_once('/').unwrap_or((row, ""));
                let read = match table {
                    $(stringify!($table) => self.$table.read(key, value),)*
                    _ => return Err(unreadable(row, "no table has this name")),
                };
                read.map_err(|e| unreadable(row, e))
            }
        }
    };
}

tables! {
    format submissions keys jobs outbox last_outbox uploads streams parts targets repositories rules last_rule hook_rules
    last_hook_rule moves last_move published clients replaced tokens accounts farm_id orders withdrawn
}

impl State {
    /// What the rows hold. Where there are none yet, they get the format first.
    pub(super) async fn load(rows: &dyn Rows) -> Result<Self> {
        let kept = rows.load().await?;
        let mut state = Self::default();
        if kept.is_empty() {
            state.format.set(FORMAT);
            rows.commit(state.take_writes()?).await?;
            return Ok(state);
        }
        let format = kept.iter().find(|(key, _)| key == "format/null");
        let format = format.map(|(key, value)| state.take_row(key, value)).transpose();
        match format.map(|_| state.format.one()) {
            Ok(Some(FORMAT)) => {}
            Ok(Some(newer)) => {
                let message = format!(
                    "the farm's state is kept in format {newer}, and this pybit knows {FORMAT}: run the pybit that wrote it, \
                     or a newer one"
                );
                return Err(Error::new(ErrorKind::Unsupported, message).with_code("newer_format"));
            }
            _ => return Err(unreadable("format/null", "these rows are no farm's state")),
        }
        kept.iter().try_for_each(|(key, value)| state.take_row(key, value))?;
        Ok(state)
    }
}
