//! Hints between processes, over each transport.

use std::path::Path;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, Role, wait_for};

/// Builds a package to its end; the binary job.
fn build(farm: &Farm, tree: &Path) -> i64 {
    let reply = farm.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--json"]);
    let submission = reply["submission"]["id"].to_string();
    let job = wait_for("the binary job", DEADLINE, || {
        let jobs = farm.json(&["jobs", "--submission", &submission, "--json"]);
        jobs.as_array().unwrap().iter().find(|j| j["kind"] == "binary")?["id"].as_i64()
    });
    farm.wait_status(job, "Done");
    job
}

/// Waits until the client has got so many hints.
fn hinted(client: &Role, at_least: usize) {
    wait_for("hints at the client", DEADLINE, || {
        (client.said().matches(": a hint client=").count() >= at_least).then_some(())
    });
}

#[test]
#[ignore = "needs RabbitMQ, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn hints_go_over_rabbitmq_from_server_to_client() {
    let url = std::env::var("PYBIT_TEST_AMQP_URL")
        .expect("PYBIT_TEST_AMQP_URL names no broker: `make services` starts one");
    let name = format!("e{:016x}", rand::random::<u64>());
    let keys = format!("url = \"{url}\"\nname = \"{name}\"");
    let farm = Farm::new(&format!("[transport]\n{keys}"));
    let web = farm.web();
    let client = client_with(&farm, "one", &format!("[client.transport]\n{keys}"));
    let _watcher = farm.watcher();
    build(&farm, &Package::new("pybit-amqp", "1.0").write(farm.path()));
    hinted(&client, 1);
    assert!(web.said().contains("connected to RabbitMQ at amqp://"));
    // Another farm under the same name is told so and ends.
    let other = Farm::new(&format!("[transport]\n{keys}"));
    let refused = other.run(&["web"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("another farm already sends over RabbitMQ"), "{said}");
}

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn hints_go_over_zeromq_and_again_after_the_server_was_killed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let farm = Farm::new(&format!("[transport]\nurl = \"zmq+bind://{free}\""));
    let web = farm.web();
    let client = client_with(&farm, "one", &format!("[client.transport]\nurl = \"zmq://{free}\""));
    let _watcher = farm.watcher();
    build(&farm, &Package::new("pybit-zmq", "1.0").write(farm.path()));
    hinted(&client, 1);
    web.kill();
    let lost = "the connection to the ZeroMQ server";
    wait_for("the client to notice", DEADLINE, || client.said().contains(lost).then_some(()));
    let before = client.said().matches(": a hint client=").count();
    let _web = farm.web();
    build(&farm, &Package::new("pybit-zmq", "2.0").write(farm.path()));
    hinted(&client, before + 1);
}

/// Starts a build client with more tables in its configuration.
fn client_with(farm: &Farm, name: &str, extra: &str) -> Role {
    let config = farm.client_config(name, &farm.url());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n{extra}\n")).unwrap();
    Role::start(name, farm.path(), &["--config", config.to_str().unwrap(), "client"])
}
