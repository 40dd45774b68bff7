//! What the command prints: tables for people, JSON for programs, and on standard error how things go.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use pybit_core::clock::Timestamp;
use pybit_core::model::NameGrant;
use pybit_core::{Error, Result};
use serde::Serialize;

/// Set once the reader of standard output has gone away.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether the reader of standard output has gone away, as in `pybit log 7 --follow | head`.
pub(super) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Prints text as it is.
pub(super) fn print(text: &str) {
    write(text.as_bytes());
}

/// Prints a line.
pub(super) fn line(text: impl AsRef<str>) {
    print(&format!("{}\n", text.as_ref()));
}

/// Prints bytes as they are.
///
/// A reader that goes away has what it wanted: nothing more is printed, and the verb goes on, because its exit code may
/// still say something. A full disk is a failure.
pub(super) fn write(bytes: &[u8]) {
    if is_closed() {
        return;
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => CLOSED.store(true, Ordering::Relaxed),
        Err(e) => {
            complain(&format!("cannot write to standard output: {e}"));
            std::process::exit(1);
        }
    }
}

/// Prints bytes of a build's log: exactly off a terminal, without what would steer it on one.
pub(super) fn log(bytes: &[u8]) {
    if std::io::stdout().is_terminal() {
        write(&visible(bytes));
    } else {
        write(bytes);
    }
}

/// Control characters in the caret notation of `cat -v`, less those that only move on.
fn visible(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\n' | b'\t' | b'\r' => shown.push(byte),
            0..0x20 | 0x7f => shown.extend([b'^', byte ^ 0x40]),
            _ => shown.push(byte),
        }
    }
    shown
}

/// Says on standard error what went wrong, in one line.
pub(super) fn complain(text: &str) {
    // There is nobody left to tell where standard error is closed too.
    let _ = writeln!(std::io::stderr(), "pybit: {}", tame(text));
}

/// Says on standard error how things go.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Prints one JSON document on a line.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::internal("the answer cannot be written as JSON").with_source(e))?;
    line(text);
    Ok(())
}

/// Prints a table: fitted to a terminal, unwrapped off it.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().map(|h| h.to_uppercase()));
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    line(lines.join("\n"));
}

/// Grants of names, for a table.
pub(super) fn grants(names: &[NameGrant]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A point in time for people: whole seconds, UTC.
pub(super) fn moment(at: Timestamp) -> String {
    Timestamp::from_micros(at.as_micros() - at.as_micros().rem_euclid(1_000_000)).to_string()
}

/// Text from elsewhere on one line, without what a terminal would obey.
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_cannot_steer_a_terminal() {
        assert_eq!(visible(b"a\x1b[2Jb\tc\r\n\x7f\x00"), b"a^[[2Jb\tc\r\n^?^@");
        assert_eq!(visible("naïve ✓".as_bytes()), "naïve ✓".as_bytes());
    }

    #[test]
    fn a_moment_has_whole_seconds() {
        let at = Timestamp::from_micros(1_780_000_000_999_999);
        assert_eq!(moment(at), "2026-05-28T20:26:40Z");
    }

    #[test]
    fn text_from_elsewhere_stays_on_its_line() {
        assert_eq!(tame("a\nb\x1b[1m\u{9b}c"), "a b [1m c");
    }
}
