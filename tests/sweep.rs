//! Every point at which a process can end: reached for the first time, the second and so on until it is reached no more, on
//! real processes; each time nothing is lost, doubled or torn.
//!
//! `make sweep` goes through all of them. `PYBIT_TEST_SWEEP=a,b` goes through the points whose names hold one of these words,
//! and `PYBIT_TEST_SWEEP_MOST=N` no further than the `N`th time.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "the tests start the programs that people start")]

#[expect(dead_code, reason = "the other tests of processes use the rest")]
mod support;

#[path = "sweep/check.rs"]
mod check;
#[path = "sweep/course.rs"]
mod course;
#[path = "sweep/stage.rs"]
mod stage;

use course::Course;
use pybit::core::trial::POINTS;
use stage::Stage;

/// Goes through the points that `wanted` names; what was reached, and how often.
fn sweep(extra: &str, client: &str, wanted: impl Fn(&str) -> bool, most: u32) {
    let mut stage = Stage::new(extra, client);
    let mut never = Vec::new();
    for point in POINTS.into_iter().filter(|point| wanted(point)) {
        let course = Course::of(point);
        let mut hits = 0;
        while hits < most && stage.survives(point, hits + 1, course) {
            hits += 1;
        }
        println!("{point}: {hits}{}", if hits == most { " and more" } else { "" });
        if hits == 0 {
            never.push(point);
        }
    }
    assert!(never.is_empty(), "never reached: {never:?}");
}

/// The points that were asked for, and how far to go with each.
fn asked(short: &[&str]) -> (Vec<String>, u32) {
    let words = std::env::var("PYBIT_TEST_SWEEP").unwrap_or_default();
    let most = std::env::var("PYBIT_TEST_SWEEP_MOST").ok().and_then(|n| n.parse().ok());
    match words.as_str() {
        "" => (short.iter().map(|s| (*s).to_owned()).collect(), most.unwrap_or(1)),
        "all" => (vec![String::new()], most.unwrap_or(1000)),
        words => (words.split(',').map(str::to_owned).collect(), most.unwrap_or(1000)),
    }
}

/// One of each kind, where nothing else was asked for.
const SHORT: [&str; 5] = [
    "submission_after_commit",
    "claim_after_commit",
    "piece_after_blob",
    "client_uploaded",
    "publisher_snapshot",
];

#[test]
#[ignore = "needs git, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn on_sqlite_with_zeromq_no_end_of_a_process_loses_anything() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (words, most) = asked(&SHORT);
    let wanted = |point: &str| words.iter().any(|word| point.contains(word.as_str()));
    let server = format!("[transport]\nurl = \"zmq+bind://{free}\"\n");
    sweep(&server, &format!("[client.transport]\nurl = \"zmq://{free}\"\n"), wanted, most);
}

#[test]
#[ignore = "needs PostgreSQL, RabbitMQ, git, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn on_postgres_with_rabbitmq_no_end_of_a_process_loses_anything() {
    let broker = std::env::var("PYBIT_TEST_AMQP_URL").expect("`make services` starts a broker");
    let name = format!("s{:016x}", rand::random::<u64>());
    let keys = format!("url = \"{broker}\"\nname = \"{name}\"\n");
    let (words, most) = asked(&SHORT[1..3]);
    let wanted = |point: &str| words.iter().any(|word| point.contains(word.as_str()));
    let database = support::database::create();
    let server = format!("[storage]\nurl = \"{database}\"\n\n[transport]\n{keys}");
    sweep(&server, &format!("[client.transport]\n{keys}"), wanted, most);
}
