//! What a server says of databases and brokers that are wrong, away, or somebody else's: the words that people read.

use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::proxy::{Fate, Proxy};
use crate::support::{DEADLINE, Farm, Role, database, http, wait_for};
use crate::{Lone, Said, said};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `make services` prints it"))
}

/// A URL with another user, password, port or path.
fn with(url: &str, change: impl FnOnce(&mut url::Url)) -> String {
    let mut url = url::Url::parse(url).unwrap();
    change(&mut url);
    url.to_string()
}

fn farm(storage: &str, transport: &str) -> Lone {
    let pybit = Lone::new();
    let text = format!(
        "data_dir = \"data\"\n[storage]\nurl = \"{storage}\"\n[transport]\nurl = \"{transport}\"\n[web]\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(pybit.path().join("pybit.toml"), text).unwrap();
    pybit
}

/// A `pybit web` that ends by itself, soon.
fn ended(pybit: &Lone) -> Said {
    let mut command = pybit.command(&["web"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // One that goes on is killed, and has another code than a refusal.
    let _ = child.kill();
    said(child.wait_with_output().unwrap())
}

/// `pybit web` refuses in one line that names the service and holds no secret.
fn refused(storage: &str, transport: &str, words: &[&str]) {
    let said = ended(&farm(storage, transport));
    // What a log says before it is no refusal.
    let (code, last) = (said.code, said.err.lines().last().unwrap_or_default().to_owned());
    assert!(code == 1 && last.starts_with("pybit: "), "{storage} {transport}: {}", said.err);
    for word in words {
        assert!(last.contains(word), "{storage} {transport}: {word} is not in {last}");
    }
    let shown = said.out + &said.err;
    assert!(!shown.contains("hunter2"), "{shown}");
    for url in [storage, transport] {
        let url = url::Url::parse(url).unwrap();
        let secret = url.password().unwrap_or("hunter2");
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_url_that_names_no_service_is_one_sentence_without_its_password() {
    for (storage, words) in [
        ("postgres:u:hunter2", &["postgres:…"][..]),
        ("postgress://u:hunter2@h/farm", &["postgress://h/farm", "postgres:"]),
        ("postgres://u:hunter2@h/farm?sslmod=hunter2", &["postgres://h/farm", "sslmod"]),
        ("amqp:u:hunter2", &["no storage for amqp:…"]),
    ] {
        refused(storage, "memory:", words);
    }
    for (transport, words) in [
        ("amqp:u:hunter2", &["amqp:…", "name a host"][..]),
        ("ampq://u:hunter2@h", &["no transport for ampq://h", "amqp:"]),
        ("amqp://u:hunter2@h/?x=hunter2", &["amqp://h/", "must not hold ?"]),
        ("zmq:u:hunter2", &["zmq:…"]),
    ] {
        refused("memory:", transport, words);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_refuses_is_one_sentence() {
    let url = variable("PYBIT_TEST_POSTGRES_URL");
    let wrong = with(&url, |u| u.set_password(Some("hunter2")).unwrap());
    refused(
        &wrong,
        "memory:",
        &["the PostgreSQL database postgres://127.0.0.1", "refuses the user"],
    );
    let none = with(&url, |u| u.set_path("nowhere"));
    refused(&none, "memory:", &["/nowhere", "there is no such database"]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_of_a_newer_pybit_is_refused() {
    let url = database::create();
    let pybit = farm(&url, "memory:");
    let web = Role::start("web", pybit.path(), &["web"]);
    wait_for("the server", DEADLINE, || web.said().contains("is up").then_some(()));
    drop(web);
    database::query(
        &url,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'newer', true, 'x', 1)",
    );
    refused(&url, "memory:", &["schema version 999", "use a newer pybit"]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_comes_later_is_waited_for() {
    let url = database::create();
    let target = url::Url::parse(&url).unwrap().socket_addrs(|| None).unwrap()[0];
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let near = with(&url, |u| u.set_port(Some(free.port())).unwrap());
    let pybit = farm(&near, "memory:");
    let web = Role::start("web", pybit.path(), &["web"]);
    let waits = "nothing listens there; is it started?; trying again until it is there";
    wait_for("the words", DEADLINE, || web.said().contains(waits).then_some(()));
    let door = TcpListener::bind(free).unwrap();
    std::thread::spawn(move || {
        for near in door.incoming().flatten() {
            let far = TcpStream::connect(target).unwrap();
            for (mut from, mut to) in
                [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
            {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    wait_for("the server", DEADLINE, || web.said().contains("is up").then_some(()));
    let said = web.said();
    assert_eq!(said.matches(waits).count(), 1, "{said}");
    let password = url::Url::parse(&url).unwrap().password().unwrap().to_owned();
    assert!(!said.contains(&password), "{said}");
}

#[test]
#[ignore = "needs RabbitMQ"]
fn a_broker_that_refuses_is_one_sentence() {
    let url = variable("PYBIT_TEST_AMQP_URL");
    let wrong = with(&url, |u| u.set_password(Some("hunter2")).unwrap());
    refused("memory:", &wrong, &["RabbitMQ at amqp://127.0.0.1", "refuses the user pybit"]);
    let none = with(&url, |u| u.set_path("/nowhere"));
    refused("memory:", &none, &["virtual host nowhere"]);
    let tls = with(&url, |_| ()).replacen("amqp:", "amqps:", 1);
    refused("memory:", &tls, &["RabbitMQ at amqps://127.0.0.1", "TLS handshake"]);
}

#[test]
#[ignore = "needs RabbitMQ"]
fn a_second_farm_on_a_virtual_host_is_refused_unless_named_apart() {
    let url = variable("PYBIT_TEST_AMQPS_URL");
    let options =
        |name: &str| format!("name = \"{name}\"\nca_file = \"{}\"", variable("PYBIT_TEST_AMQP_CA"));
    let own = format!("f{:016x}", rand::random::<u64>());
    let started = |name: &str| {
        let pybit = farm("memory:", &url);
        let file = pybit.path().join("pybit.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("[web]", &format!("{}\n[web]", options(name)));
        std::fs::write(file, text).unwrap();
        pybit
    };
    let first = started(&own);
    let web = Role::start("web", first.path(), &["web"]);
    wait_for("the server", DEADLINE, || web.said().contains("is up").then_some(()));
    let second = ended(&started(&own));
    let said = second.err.lines().last().unwrap_or_default();
    assert!(second.code == 1 && said.contains("another farm already sends"), "{}", second.err);
    assert!(said.contains(&own) && said.contains("transport.name"), "{said}");
    let apart = started(&format!("{own}b"));
    let web = Role::start("web", apart.path(), &["web"]);
    wait_for("the server", DEADLINE, || web.said().contains("is up").then_some(()));
}

/// A way to the broker that can be cut, and the broker's URL at its near end.
fn broker_behind_proxy() -> (Proxy, url::Url) {
    let mut url = url::Url::parse(&variable("PYBIT_TEST_AMQP_URL")).unwrap();
    let proxy = Proxy::to(url.socket_addrs(|| Some(5672)).unwrap()[0].to_string());
    url.set_port(url::Url::parse(&proxy.url()).unwrap().port()).unwrap();
    (proxy, url)
}

#[test]
#[ignore = "needs RabbitMQ"]
fn a_server_whose_broker_goes_away_is_not_ready_until_it_is_back_and_says_so() {
    let (proxy, url) = broker_behind_proxy();
    let password = url.password().unwrap();
    let name = format!("f{:016x}", rand::random::<u64>());
    let farm = Farm::new(&format!("[transport]\nurl = \"{url}\"\nname = \"{name}\"\n"));
    let web = farm.web();
    let readiness = |status: u16, transport: &str| {
        wait_for(&format!("/readyz to be {status}"), DEADLINE, || {
            let answer = http::ask(&farm.address(), "GET", "/readyz", &[], b"");
            assert!(!answer.body.contains(password), "{}", answer.body);
            (answer.status == status).then(|| {
                let body: Value = serde_json::from_str(&answer.body).unwrap();
                let expected = json!({ "storage": "ok", "transport": transport, "blobs": "ok" });
                assert_eq!(body, expected);
            })
        });
    };
    let service = format!("RabbitMQ at amqp://{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let said = |begins: &str, ends: &str| {
        let is_it = |l: &&str| l.contains(&format!(": {begins} {service}")) && l.contains(ends);
        web.said().lines().filter(is_it).count()
    };
    let connected = || said("connected to", "");
    let lost = || said("the connection to", "; connecting again");
    readiness(200, "ok");
    assert_eq!((connected(), lost()), (1, 0));

    proxy.set(Fate::Away);
    readiness(503, "unavailable");
    wait_for("the loss in the log", DEADLINE, || (lost() > 0).then_some(()));
    let tries = "; trying again until it is there";
    wait_for("the next try in the log", DEADLINE, || web.said().contains(tries).then_some(()));
    readiness(503, "unavailable");

    proxy.set(Fate::Pass);
    readiness(200, "ok");
    let log = web.said();
    assert_eq!((connected(), lost(), log.matches(tries).count()), (2, 1, 1), "each is said once");
    let probed = |words: &str| log.lines().filter(|l| l.contains(words)).count();
    assert_eq!((probed("not ready: "), probed("ready again")), (1, 1), "not for each probe: {log}");
    assert!(!log.contains(password), "{log}");
}
