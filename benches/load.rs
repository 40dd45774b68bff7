//! The whole farm: `pybit load` of this build. PostgreSQL and RabbitMQ are those that the environment names, as the tests take
//! them, else private ones that wait for their disk and end with it (`tools/services`). What follows `--` is passed on:
//! `cargo bench --bench load -- --measure done`; with `--url` a farm is measured that runs.

use std::path::Path;
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
    let pybit = env!("CARGO_BIN_EXE_pybit");
    let mut measuring = if needs_services(&arguments) {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/services");
        let mut measuring = Command::new(services);
        measuring.args(["run", "--", pybit]);
        measuring.envs([("PYBIT_SERVICES_DURABLE", "1"), ("PYBIT_SERVICES_WITHOUT_S3", "1")]);
        measuring
    } else {
        Command::new(pybit)
    };
    match measuring.arg("load").args(arguments).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the farm cannot be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether farms of our own are measured and nothing says on what.
fn needs_services(arguments: &[String]) -> bool {
    let named = |a: &String| {
        ["--url", "--postgres", "--amqp", "--help"]
            .iter()
            .any(|name| a.split('=').next() == Some(name))
    };
    let given = ["PYBIT_TEST_POSTGRES_URL", "PYBIT_TEST_AMQP_URL"];
    !arguments.iter().any(named) && given.iter().all(|name| std::env::var_os(name).is_none())
}
