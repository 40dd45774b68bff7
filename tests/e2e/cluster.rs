//! Several web servers on one PostgreSQL database.

use std::time::{Duration, Instant};

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, Role, database, outcomes, wait_for};

/// A second web server of the same farm, on a port of its own; its address.
fn second(farm: &Farm) -> (Role, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let config = std::fs::read_to_string(farm.path().join("pybit.toml")).unwrap();
    let own = config.replace(&farm.url()["http://".len()..], &address);
    assert_ne!(own, config);
    std::fs::write(farm.path().join("second.toml"), own).unwrap();
    let role = Role::start("second", farm.path(), &["--config", "second.toml", "web"]);
    wait_for("the second server", DEADLINE, || Farm::get_from(&address, "/readyz").0.then_some(()));
    (role, address)
}

#[test]
#[ignore = "needs PostgreSQL, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn servers_on_one_database_are_one_farm_and_any_may_die() {
    let farm = Farm::new(&format!("[storage]\nurl = \"{}\"\n", database::create()));
    let first = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let (second, address) = second(&farm);
    let submit = |name: &str, url: &str| {
        let tree = Package::new(name, "1.0").write(farm.path());
        let words =
            ["--url", url, "submit", tree.to_str().unwrap(), "--suite", "bookworm", "--json"];
        let reply = farm.json(&words);
        reply["submission"]["id"].to_string()
    };
    let published = |name: &str, submission: &str| {
        wait_for("the package", DEADLINE, || {
            let jobs = farm.jobs(&format!("submission={submission}"));
            let jobs = jobs.as_array().unwrap().clone();
            assert!(jobs.iter().all(|j| j["status"] != "Failed"), "{jobs:?}");
            (jobs.len() == 2 && jobs.iter().all(|j| j["status"] == "Done")).then_some(())
        });
        assert_eq!(farm.published(name), ["1.0"]);
    };
    // What one server was told is built by a client of the other, also after the first has died.
    let one = submit("pybit-there", &format!("http://{address}"));
    second.kill();
    published("pybit-there", &one);
    let two = submit("pybit-here", &farm.url());
    first.kill();
    let _first = farm.web();
    published("pybit-here", &two);
    let counts = farm.jobs("status=Done");
    assert_eq!(counts.as_array().unwrap().len(), 4);
    let checked = farm.run(&["storage", "check"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

const TTL: Duration = Duration::from_secs(2);

/// Watches for this long that something holds.
fn holds_for(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    wait_for(what, DEADLINE, || {
        assert!(holds(), "{what}, after {:?}", start.elapsed());
        (start.elapsed() > time).then_some(())
    });
}

#[test]
#[ignore = "needs PostgreSQL, dpkg-dev, debhelper and the user pybit-build"]
fn a_server_that_stands_still_is_replaced_and_takes_no_job_when_it_goes_on() {
    let farm = Farm::with_lease(TTL, &format!("[storage]\nurl = \"{}\"\n", database::create()));
    let first = farm.web();
    let (second, address) = second(&farm);
    let other = format!("http://{address}");
    let gate = farm.path().join("gate");
    let _client = farm.client("one");
    let tree = Package::new("pybit-still", "1.0").gate(&gate).write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    let status = |url: &str| {
        let detail = farm.json(&["--url", url, "job", &job.to_string(), "--json"]);
        assert_eq!(detail["job"]["attempt"], 1, "{detail}");
        detail["job"]["status"].as_str().unwrap().to_owned()
    };
    // The second one stands still while the client reports to the first: neither then nor later a lease is lost.
    second.signal("STOP");
    holds_for("it is built", TTL * 4, || status(&farm.url()) == "Building");
    second.signal("CONT");
    holds_for("it is built on", TTL * 2, || status(&other) == "Building");
    // The first one stands still, and with it all that its client hears: the second gives the job back.
    first.signal("STOP");
    let silent = Instant::now();
    wait_for("the other server to notice", TTL * 4, || (status(&other) == "Waiting").then_some(()));
    assert!(silent.elapsed() > TTL / 2, "not before its time");
    holds_for("nobody else has it", TTL * 4, || status(&other) == "Waiting");
    // It goes on, and so does the build: its result is the one that counts.
    first.signal("CONT");
    wait_for("the client to go on", DEADLINE, || (status(&other) == "Building").then_some(()));
    holds_for("it is built to its end", TTL * 2, || status(&farm.url()) == "Building");
    std::fs::write(&gate, "").unwrap();
    wait_for("the result", DEADLINE, || (status(&other) == "Uploaded").then_some(()));
    assert_eq!(outcomes(&farm.job(job)), ["succeeded"]);
    let checked = farm.run(&["storage", "check"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
