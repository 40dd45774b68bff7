//! `pybit load` measures what it says, and every simulated build is a real one to the farm. How quick it is, no test says.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "the tests start the program that people start")]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs the generator at its smallest; the figures that it printed.
fn figures(servers: bool) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pybit"));
    command.args(["load", "--quick", "--json"]).stdin(Stdio::null());
    let elsewhere = tempfile::tempdir().unwrap();
    command.current_dir(elsewhere.path());
    if !servers {
        command.env_remove("PYBIT_TEST_POSTGRES_URL").env_remove("PYBIT_TEST_AMQP_URL");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every figure is a number above nothing with a name, and every measurement was made on these farms.
fn check(figures: &[Value], farms: &[&str]) {
    let word = |figure: &Value, key: &str| figure[key].as_str().unwrap().to_owned();
    for figure in figures {
        assert!(figure["value"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(!word(figure, "figure").is_empty() && figure["unit"].is_string(), "{figure}");
    }
    let measures: BTreeSet<_> = figures.iter().map(|f| word(f, "measure")).collect();
    let all = ["done", "latency", "logs", "lost", "queue", "submissions"];
    assert_eq!(measures, all.map(str::to_owned).into());
    let seen: BTreeSet<_> = figures.iter().map(|f| word(f, "farm")).collect();
    assert_eq!(seen, farms.iter().map(|f| (*f).to_owned()).collect());
    let done: Vec<_> = figures.iter().filter(|f| f["figure"] == "jobs Done").collect();
    assert!(!done.is_empty());
    for figure in done {
        assert_eq!(figure["value"], 80.0, "40 silent builds and 40 with a log: {figure}");
    }
}

#[test]
fn a_farm_on_sqlite_is_measured_with_nothing_else_there() {
    let farms = ["sqlite + memory", "sqlite + memory, leases of 2 s", "sqlite + zeromq"];
    check(&figures(false), &farms);
}

#[test]
#[ignore = "needs PostgreSQL and RabbitMQ"]
fn a_farm_on_postgresql_and_rabbitmq_is_measured() {
    let farms = [
        "postgres + rabbitmq",
        "postgres + rabbitmq, leases of 2 s",
        "postgres + zeromq",
        "sqlite + memory",
    ];
    let figures = figures(true);
    check(&figures, &farms);
    assert!(figures.iter().any(|f| f["figure"].as_str().unwrap().starts_with("pgbench")));
}
