//! The supervisor as a program of its own, for programs that embed pybit.
//!
//! `pybit-supervise run COMMAND…` runs a command as pybit runs builds, to see what becomes of its processes.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use async_trait::async_trait;
use pybit_backends::exec::{Cmd, Exec, Supervisor, supervise};
use pybit_core::build::LogSink;
use pybit_core::format::Exit;
use pybit_core::{Error, Result};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|verb| verb == "run").is_none() {
        return supervise::main(args);
    }
    match run(args.collect()) {
        Ok(Exit::Code(code)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Ok(exit) => complain(&format!("{exit:?}")),
        Err(e) => complain(&e.to_string()),
    }
}

fn run(argv: Vec<String>) -> Result<Exit> {
    let failed = |e| Error::internal("the program cannot start its runtime").with_source(e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let exec = Exec::new(Supervisor { program, args: vec![] }, None);
    runtime.block_on(async { exec.run(&Cmd::new(argv, Path::new("/")), &Screen).await })
}

fn complain(why: &str) -> ExitCode {
    // Where standard error is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "pybit-supervise: {why}");
    ExitCode::FAILURE
}

#[derive(Debug)]
struct Screen;

#[async_trait]
impl LogSink for Screen {
    async fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut screen = std::io::stdout().lock();
        let written = screen.write_all(bytes).and_then(|()| screen.flush());
        written.map_err(|e| Error::internal("standard output is closed").with_source(e))
    }
}
