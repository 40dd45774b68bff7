//! Messages that are not pybit's.

use std::time::Duration;

use pybit_core::conformance::support::{client, route};
use pybit_core::model::JobId;
use pybit_core::transport::Transport;

use super::ends::{DEADLINE, address, bind, connect, hint, next};

/// Waits until a transport has counted so many.
async fn until_foreign(transport: &dyn Transport, count: u64) {
    let look = async {
        while transport.foreign() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(DEADLINE, look).await;
    assert!(seen.is_ok(), "{} of {count}", transport.foreign());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_drops_and_counts_what_is_not_pybits() {
    let server = bind(&[]);
    let remote = connect(address(&server), &[]);
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::DEALER).unwrap();
    stranger.connect(server.endpoint().unwrap()).unwrap();
    let magic = &b"pybit\x01"[..];
    let whole = br#"{"bye":{"inbox":1}}"#;
    let messages: [&[&[u8]]; 9] = [
        &[b""],
        &[b"", b"", b""],
        &[b"hello"],
        &[magic],
        &[magic, b"{\"py/object\": \"os.system\"}"],
        &[magic, &whole[..whole.len() - 2]],
        &[b"pybit\x02", whole],
        &[magic, whole, b"more"],
        &[magic, br#"{"hints":{"inbox":1,"client":"../x","routes":[],"credit":1}}"#],
    ];
    for frames in messages {
        stranger.send_multipart(frames, 0).unwrap();
    }
    until_foreign(&server, 9).await;
    // One that is too large costs its sender the connection, and nobody else anything.
    stranger.send(vec![b' '; 3 << 20], 0).unwrap();
    // A client that speaks another protocol altogether.
    let mut http = std::net::TcpStream::connect(address(&server)).unwrap();
    std::io::Write::write_all(&mut http, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    server.publish(&hint(1)).await.unwrap();
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(1)));
    assert_eq!(server.foreign(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_drops_and_counts_what_is_not_pybits() {
    // A server that answers whatever it wants.
    let context = zmq::Context::new();
    let impostor = context.socket(zmq::ROUTER).unwrap();
    impostor.set_probe_router(true).unwrap();
    impostor.bind("tcp://127.0.0.1:*").unwrap();
    let at = impostor.get_last_endpoint().unwrap().unwrap();
    let at = at.strip_prefix("tcp://").unwrap().parse().unwrap();
    let remote = connect(at, &[]);
    let opening = tokio::spawn(async move {
        let inbox = remote.consume(&client("tahr"), &[route("amd64")], 1).await;
        (remote, inbox)
    });
    let announced = impostor.recv_multipart(0).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&announced[2]).unwrap();
    let inbox = body["hints"]["inbox"].as_u64().unwrap();
    let foreign = |arch: &str, version: u32| {
        format!(
            r#"{{"hint":{{"inbox":{inbox},"number":5,"hint":{{"version":{version},"route":{{"dist":"Debian","arch":"{arch}","suite":"bookworm","format":"deb"}}}}}}}}"#
        )
    };
    let bodies = ["{}".to_owned(), foreign("arm64", 1), foreign("amd64", 99), "x".to_owned()];
    for body in bodies {
        let frames = [announced[0].as_slice(), b"pybit\x01", body.as_bytes()];
        impostor.send_multipart(frames, 0).unwrap();
    }
    let good = foreign("amd64", 1);
    impostor.send_multipart([announced[0].as_slice(), b"pybit\x01", good.as_bytes()], 0).unwrap();
    let (remote, hints) = opening.await.unwrap();
    let found = next(&mut *hints.unwrap()).await;
    assert_eq!(found.hint.route, route("amd64"));
    until_foreign(&remote, 4).await;
}
