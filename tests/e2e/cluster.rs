//! Several web servers on one PostgreSQL database.

use std::process::{Command, Stdio};

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, Role, wait_for};

/// An empty database on the server of `make services`, and its URL.
fn database() -> String {
    let server = std::env::var("PYBIT_TEST_POSTGRES_URL").expect(
        "PYBIT_TEST_POSTGRES_URL names no PostgreSQL server: `make test` starts one, `make services` prints the URL",
    );
    let name = format!("pybit_e2e_{}", std::process::id());
    let sql = format!("CREATE DATABASE {name}");
    let made = Command::new("psql").args([&server, "-qc", &sql]).stdin(Stdio::null()).status();
    assert!(made.unwrap().success(), "psql -c '{sql}'");
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    url.into()
}

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
    let farm = Farm::new(&format!("[storage]\nurl = \"{}\"\n", database()));
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
            let jobs = farm.json(&["jobs", "--submission", submission, "--json"]);
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
    let counts = farm.json(&["jobs", "--status", "Done", "--json"]);
    assert_eq!(counts.as_array().unwrap().len(), 4);
}
