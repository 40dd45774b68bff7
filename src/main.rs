//! The `pybit` command.

mod cli;
mod load;

use std::process::ExitCode;

fn main() -> ExitCode {
    pybit::roles::supervised().unwrap_or_else(cli::run)
}
