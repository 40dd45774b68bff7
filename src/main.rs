//! The `pybit` command.

mod cli;
mod load;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The supervisor of a build is this program once more; it must start before there are any threads.
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(pybit::roles::SUPERVISE) {
        return pybit::backends::exec::supervise::main(args);
    }
    cli::run()
}
