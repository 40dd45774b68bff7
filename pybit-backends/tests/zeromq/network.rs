//! What a network does, servers that come and go, clients that do not read.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use pybit_backends::zeromq::ZeroTransport;
use pybit_core::ErrorKind;
use pybit_core::conformance::support::{client, route};
use pybit_core::model::JobId;
use pybit_core::transport::{Command, Hint, Recipient, Transport};

use super::ends::{
    DEADLINE, address, bind, connect, hint, next, settings, until_depth, until_healthy,
};
use super::proxy::Proxy;

/// A server on the port that another has just left.
async fn bind_again(at: SocketAddr) -> ZeroTransport {
    let open = async {
        loop {
            match ZeroTransport::open(&settings(&format!("zmq+bind://{at}"), &[])) {
                Ok(server) => return server,
                Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, open).await.expect("the port is free in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_finds_its_clients_again() {
    let server = bind(&[]);
    let at = address(&server);
    let remote = connect(at, &[]);
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let mut commands = remote.commands(&client("tahr")).await.unwrap();
    server.publish(&hint(1)).await.unwrap();
    next(&mut *hints).await.receipt.ack().await.unwrap();
    drop(server);
    let said = until_healthy(&remote, false).await;
    assert!(said.contains(&format!("the ZeroMQ server tcp://{at} does not answer")), "{said}");

    let server = bind_again(at).await;
    server.publish(&hint(2)).await.unwrap();
    // The same inboxes, without a word from their owner.
    let found = next(&mut *hints).await;
    assert_eq!(found.hint.job, Some(JobId(2)));
    found.receipt.ack().await.unwrap();
    until_healthy(&remote, true).await;
    server.send_command(&Recipient::All, &Command::Beat).await.unwrap();
    let command = tokio::time::timeout(DEADLINE, commands.next()).await.unwrap();
    assert_eq!(command.unwrap(), Some(Command::Beat));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_from_before_a_cut_is_void_and_its_hint_comes_again() {
    let server = bind(&[]);
    let proxy = Proxy::to(address(&server)).await;
    let remote = connect(proxy.address(), &[]);
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 2).await.unwrap();
    server.publish(&hint(1)).await.unwrap();
    let held = next(&mut *hints).await;
    proxy.down();
    until_healthy(&remote, false).await;
    proxy.mend();
    let again = next(&mut *hints).await;
    assert_eq!(again.hint.job, Some(JobId(1)));
    assert_eq!(held.receipt.ack().await.unwrap_err().kind(), ErrorKind::Unavailable);
    again.receipt.ack().await.unwrap();
    server.publish(&hint(2)).await.unwrap();
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(2)));
    until_depth(&server, &route("amd64"), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_client_holds_goes_to_another() {
    let server = bind(&[]);
    let proxy = Proxy::to(address(&server)).await;
    let (silent, other) = (connect(proxy.address(), &[]), connect(address(&server), &[]));
    let mut lost = silent.consume(&client("silent"), &[route("amd64")], 1).await.unwrap();
    server.publish(&hint(1)).await.unwrap();
    let held = next(&mut *lost).await;
    let mut found = other.consume(&client("other"), &[route("amd64")], 1).await.unwrap();
    proxy.freeze();
    let again = next(&mut *found).await;
    assert_eq!(again.hint.job, Some(JobId(1)));
    again.receipt.ack().await.unwrap();
    until_healthy(&silent, false).await;
    proxy.mend();
    until_healthy(&silent, true).await;
    // Nobody asks the server what became of a hint that it gave to another.
    let _ = held.receipt.ack().await;
    drop((other, found));
    server.publish(&hint(2)).await.unwrap();
    assert_eq!(next(&mut *lost).await.hint.job, Some(JobId(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_two_servers_hears_both_and_has_one_credit() {
    let (one, two) = (bind(&[]), bind(&[]));
    let url = format!("zmq://{},{}", address(&one), address(&two));
    let remote = ZeroTransport::open(&settings(&url, &[])).unwrap();
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    one.publish(&hint(1)).await.unwrap();
    two.publish(&hint(2)).await.unwrap();
    let first = next(&mut *hints).await;
    let more = tokio::time::timeout(Duration::from_millis(300), hints.next()).await;
    assert!(more.is_err(), "its credit is one for both: {more:?}");
    first.receipt.ack().await.unwrap();
    let second = next(&mut *hints).await;
    let mut jobs = [first.hint.job, second.hint.job];
    jobs.sort();
    assert_eq!(jobs, [Some(JobId(1)), Some(JobId(2))]);
    second.receipt.ack().await.unwrap();
    // One of them dies: the other one's hints flow, and the client is well.
    drop(one);
    two.publish(&hint(3)).await.unwrap();
    next(&mut *hints).await.receipt.ack().await.unwrap();
    remote.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_blocks_nobody() {
    let server = bind(&[]);
    // It announces an inbox with room for everything, and never reads.
    let context = zmq::Context::new();
    let stuck = context.socket(zmq::DEALER).unwrap();
    stuck.set_rcvhwm(1).unwrap();
    stuck.connect(server.endpoint().unwrap()).unwrap();
    let body = br#"{"hints":{"inbox":7,"client":"stuck","routes":[{"dist":"Debian","arch":"arm64","suite":"bookworm","format":"deb"}],"credit":1000000}}"#;
    let listens = br#"{"commands":{"inbox":8,"client":"stuck"}}"#;
    stuck.send_multipart([&b"pybit\x01"[..], body], 0).unwrap();
    stuck.send_multipart([&b"pybit\x01"[..], listens], 0).unwrap();
    let remote = connect(address(&server), &[]);
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let flood: Vec<_> = (0..500).map(|n| Hint::new(route("arm64"), Some(JobId(n)))).collect();
    for round in 1..=40 {
        server.publish_all(&flood).await.unwrap();
        server.send_command(&Recipient::All, &Command::Beat).await.unwrap();
        server.publish(&hint(round)).await.unwrap();
        let found = next(&mut *hints).await;
        assert_eq!(found.hint.job, Some(JobId(round)));
        found.receipt.ack().await.unwrap();
    }
    // The stuck one was given up, and what it held waits for others.
    until_depth(&server, &route("arm64"), 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_end_with_their_transport() {
    let server = bind(&[]);
    let at = address(&server);
    let remote = connect(at, &[]);
    let mut inside = server.consume(&client("inside"), &[route("arm64")], 1).await.unwrap();
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let mut commands = remote.commands(&client("tahr")).await.unwrap();
    drop(remote);
    assert!(tokio::time::timeout(DEADLINE, hints.next()).await.unwrap().unwrap().is_none());
    assert!(tokio::time::timeout(DEADLINE, commands.next()).await.unwrap().unwrap().is_none());
    server.close().await;
    assert!(tokio::time::timeout(DEADLINE, inside.next()).await.unwrap().unwrap().is_none());
    assert_eq!(server.publish(&hint(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let free = async {
        while TcpListener::bind(at).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, free).await.expect("the port is free in time");
}

#[tokio::test]
async fn each_end_does_its_own_part() {
    let server = bind(&[]);
    let taken = ZeroTransport::open(&settings(&format!("zmq+bind://{}", address(&server)), &[]));
    let taken = taken.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert!(taken.to_string().contains("ZeroMQ cannot listen on tcp://127.0.0.1:"), "{taken}");
    let remote = connect(address(&server), &[]);
    for refused in [
        remote.publish(&hint(1)).await.unwrap_err(),
        remote.serve_farm("one").await.unwrap_err(),
        remote.send_command(&Recipient::All, &Command::Beat).await.unwrap_err(),
        remote.depth(&route("amd64")).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().contains("zmq+bind:"), "{refused}");
    }
}
