//! The whole farm: `pybit load` of this build, with PostgreSQL and RabbitMQ where the environment names them (`make load` starts
//! private ones), and with SQLite in one process where it does not. What follows `--` is passed on:
//! `cargo bench --bench load -- --measure done`.

use std::process::{Command, ExitCode};

#[expect(
    clippy::disallowed_methods,
    reason = "the farm that is measured starts its processes itself"
)]
fn main() -> ExitCode {
    let (mode, arguments): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|a| a == "--bench");
    // As a test it would measure nothing.
    if mode.is_empty() {
        return ExitCode::SUCCESS;
    }
    let measured = Command::new(env!("CARGO_BIN_EXE_pybit")).arg("load").args(arguments).status();
    if measured.is_ok_and(|status| status.success()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
