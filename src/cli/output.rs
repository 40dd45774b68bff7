//! What the command prints: tables for people, JSON for programs. A reader that goes away ends the output quietly.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use pybit_core::{Error, Result};
use serde::Serialize;

/// Prints text as it is.
pub(super) fn print(text: &str) {
    write(text.as_bytes());
}

/// Prints a line.
pub(super) fn line(text: impl AsRef<str>) {
    print(&format!("{}\n", text.as_ref()));
}

/// Prints bytes as they are.
pub(super) fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        // The reader has what it wanted: `pybit jobs | head`.
        std::process::exit(0);
    }
}

/// Says on standard error what went wrong, in one line.
pub(super) fn complain(text: &str) {
    let text = text.replace('\n', " ");
    let _ = writeln!(std::io::stderr(), "pybit: {text}");
}

/// Says on standard error how things go.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Prints one JSON document on a line.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::internal("the answer cannot be written as JSON").with_source(e))?;
    line(text);
    Ok(())
}

/// Prints a table: fitted to a terminal, unwrapped off it.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head.iter().map(|h| h.to_uppercase()));
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row);
    }
    for text in table.lines() {
        line(text.trim_end());
    }
}

/// Text from elsewhere on one line, without what a terminal would obey.
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
