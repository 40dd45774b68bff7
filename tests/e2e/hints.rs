//! Hints between processes, over each transport.

use std::path::Path;

use pybit::core::model::Route;
use pybit::core::settings::Settings;
use pybit::core::transport::{Delivery, Inbox};
use pybit::roles;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, Role, outcomes, wait_for};

/// Builds a package to its end; the binary job.
fn build(farm: &Farm, tree: &Path) -> i64 {
    let reply = farm.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--json"]);
    let submission = reply["submission"]["id"].to_string();
    let job = wait_for("the binary job", DEADLINE, || {
        let jobs = farm.jobs(&format!("submission={submission}"));
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

/// The next hint, on its way or still to be sent.
async fn heard(inbox: &mut dyn Inbox) -> Delivery {
    let delivery = tokio::time::timeout(DEADLINE, inbox.next()).await.expect("a hint in time");
    delivery.unwrap().expect("the transport is open")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
async fn a_job_that_waited_when_the_server_was_killed_is_hinted_by_the_next_one_and_built() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let farm = Farm::new(&format!("[transport]\nurl = \"zmq+bind://{free}\""));
    let web = farm.web();
    let url = format!("zmq://{free}");
    let _client = client_with(&farm, "one", &format!("[client.transport]\nurl = \"{url}\""));
    let _watcher = farm.watcher();
    let gate = farm.path().join("gate");
    let (busy, _) = farm.submit(&Package::new("pybit-busy", "1.0").gate(&gate).write(farm.path()));
    let building = farm.binary_job(&busy);
    farm.wait_building(building, 1);
    let (submission, waiting) = farm.submit(&Package::new("pybit-idle", "1.0").write(farm.path()));

    // A build client asks the server besides, and would find the job without a hint: this one only listens.
    let route = Route {
        dist: "Debian".parse().unwrap(),
        arch: "source".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        format: "deb".parse().unwrap(),
    };
    let ears = roles::transports().open(&Settings::url(&url)).await.unwrap();
    let mut inbox = ears.consume(&"ears".parse().unwrap(), &[route], 1).await.unwrap();
    // It may hold one hint and does: whatever comes beside it comes from another server.
    let held = heard(&mut *inbox).await;
    web.kill();
    let _web = farm.web();
    let again = heard(&mut *inbox).await;
    let about = again.hint.job.map_or(waiting, |job| job.0);
    assert_eq!(about, waiting, "it names the job that waits, or none");
    held.receipt.ack().await.expect_err("it went with its server");
    let listed = farm.jobs("status=waiting");
    let waits: Vec<_> = listed.as_array().unwrap().iter().map(|j| j["id"].as_i64()).collect();
    assert_eq!(waits, [Some(waiting)], "there is nothing else to hint");
    again.receipt.ack().await.unwrap();
    drop((inbox, ears));

    std::fs::write(&gate, "").unwrap();
    for job in [building, farm.binary_job(&submission)] {
        assert_eq!(outcomes(&farm.wait_status(job, "Done")), ["succeeded"]);
    }
    assert_eq!(farm.published("pybit-idle"), ["1.0"]);
}

/// Starts a build client with more tables in its configuration.
fn client_with(farm: &Farm, name: &str, extra: &str) -> Role {
    let config = farm.client_config(name, &farm.url());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n{extra}\n")).unwrap();
    Role::start(name, farm.path(), &["--config", config.to_str().unwrap(), "client"])
}
