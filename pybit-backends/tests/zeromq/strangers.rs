//! Messages that are not pybit's.

use std::sync::OnceLock;
use std::time::Duration;

use pybit_core::conformance::support::{client, route};
use pybit_core::model::JobId;
use pybit_core::transport::Transport;

use super::ends::{DEADLINE, address, bind, connect, hint, next};
use super::log::Log;

/// What this whole process logs: the sockets have threads of their own, which no subscriber of a test's thread hears. Each
/// line names its thread, which tells the servers of tests apart that run beside each other.
fn logged() -> &'static Log {
    static KEPT: OnceLock<Log> = OnceLock::new();
    KEPT.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_thread_ids(true)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    })
}

/// The lines that hold all of these words.
fn lines(log: &Log, words: &[&str]) -> Vec<String> {
    let said = log.said();
    said.lines().filter(|l| words.iter().all(|w| l.contains(w))).map(str::to_owned).collect()
}

const NOT_OURS: &str = "a message that is not pybit's";

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
async fn a_server_drops_and_counts_what_is_not_pybits_and_logs_it_once() {
    let log = logged();
    let server = bind(&[]);
    let remote = connect(address(&server), &[]);
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let context = zmq::Context::new();
    let stranger = context.socket(zmq::DEALER).unwrap();
    stranger.connect(server.endpoint().unwrap()).unwrap();
    let magic = &b"pybit\x01"[..];
    let whole = br#"{"bye":{"inbox":1}}"#;
    // By their number the log's one line is known for this server's.
    let many = [&b""[..]; 37];
    let messages: [&[&[u8]]; 10] = [
        &many,
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
    until_foreign(&server, 10).await;
    // One that is too large costs its sender the connection, and nobody else anything.
    stranger.send(vec![b' '; 3 << 20], 0).unwrap();
    // A client that speaks another protocol altogether.
    let mut http = std::net::TcpStream::connect(address(&server)).unwrap();
    std::io::Write::write_all(&mut http, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    server.publish(&hint(1)).await.unwrap();
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(1)));
    assert_eq!(server.foreign(), 10);
    let first = lines(log, &[NOT_OURS, "it has 37 frames instead of 2"]);
    assert!(first[0].contains("from=\"127.0.0.1\""), "{first:?}");
    let thread = first[0].split_whitespace().find(|w| w.starts_with("ThreadId(")).unwrap();
    assert_eq!(lines(log, &[NOT_OURS, thread]), first, "once, and it tells of the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_drops_and_counts_what_is_not_pybits_and_logs_it_once() {
    let log = logged();
    // A server that answers whatever it wants.
    let context = zmq::Context::new();
    let impostor = context.socket(zmq::ROUTER).unwrap();
    impostor.set_probe_router(true).unwrap();
    impostor.bind("tcp://127.0.0.1:*").unwrap();
    let at = impostor.get_last_endpoint().unwrap().unwrap();
    let remote = connect(at.strip_prefix("tcp://").unwrap().parse().unwrap(), &[]);
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
    let server = format!("the ZeroMQ server {at} sent");
    assert_eq!(lines(log, &[NOT_OURS, &server]).len(), 1);
}
