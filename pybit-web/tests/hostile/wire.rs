//! Requests that no HTTP library would send: bytes on a connection as they are.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::SUBMIT;
use crate::support::{DEADLINE, Server};

/// Sends bytes as they are, and reads until the server closes.
async fn raw(server: &Server, pieces: &[&[u8]], then_close: bool) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    if then_close {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    // A server that closes while the peer still sends resets the connection; what it said before counts.
    let _ = read.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(server: &Server, method: &str, path: &str, headers: &str) -> String {
    let token = &server.submit;
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{headers}\r\n"
    )
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test]
async fn a_length_that_lies_is_refused_and_the_connection_closed() {
    let server = Server::start().await;
    // (26) Fewer bytes than declared.
    let short = head(&server, "POST", SUBMIT, "Content-Length: 100\r\n");
    let answer = raw(&server, &[short.as_bytes(), b"{\"suite\""], true).await;
    assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    // (26) Two lengths that differ, and one that is none.
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: x\r\n",
        "Content-Length: -1\r\n",
    ] {
        let answer =
            raw(&server, &[head(&server, "POST", SUBMIT, lengths).as_bytes(), b"{}"], true).await;
        assert_eq!(status(&answer), 400, "{lengths}");
    }
    // (26) A length and chunks: the chunks count, and what hides behind them is never a request.
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let first = head(&server, "POST", SUBMIT, headers);
        let hidden = head(&server, "POST", "/api/v1/jobs/cancel", "Content-Length: 12\r\n");
        let answer = raw(
            &server,
            &[first.as_bytes(), b"2\r\n{}\r\n0\r\n\r\n", hidden.as_bytes(), b"{\"all\":true}"],
            false,
        )
        .await;
        assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), (400, 1), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    assert_eq!(server.get("/api/v1/jobs").await.json(), json!([]));
}

#[tokio::test]
async fn a_body_without_end_is_stopped_on_its_way() {
    let server = Server::start().await;
    // (25) A gigabyte in chunks, without a length: refused after the first MiB.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = head(&server, "POST", SUBMIT, "Transfer-Encoding: chunked\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let mut sent = 0_u64;
    let mut answer = Vec::new();
    let (mut read, mut write) = stream.split();
    let writing = async {
        while sent < 1 << 30 && write.write_all(&chunk).await.is_ok() {
            sent += chunk.len() as u64;
        }
    };
    let both = async { tokio::join!(read.read_to_end(&mut answer), writing).0 };
    let read = tokio::time::timeout(DEADLINE, both).await.unwrap();
    // The refusal is lost where the reset that follows it overtakes it; the connection is closed either way.
    let answer = String::from_utf8_lossy(&answer);
    assert!(read.is_err() || status(&answer) == 413, "{answer}");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let server = Server::start().await;
    let long =
        head(&server, "GET", "/api/v1/jobs", &format!("X-Long: {}\r\n", "x".repeat(1 << 20)));
    let answer = raw(&server, &[long.as_bytes()], true).await;
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    let many = "X-Many: x\r\n".repeat(1000);
    let answer =
        raw(&server, &[head(&server, "GET", "/api/v1/jobs", &many).as_bytes()], true).await;
    assert_eq!(status(&answer), 431);
    for garbage in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let answer = raw(&server, &[garbage], true).await;
        assert!(answer.is_empty() || (400..600).contains(&status(&answer)), "{answer}");
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_request_that_never_ends_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = dir.path().join("blobs");
    let config = pybit_web::WebConfig { idle_ms: 300, most_connections: 4, ..Default::default() };
    let server = Server::start_as(dir, blobs, pybit_core::Policy::default(), config).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
        held.push(stream);
    }
    // Every seat is taken; the server closes the idle ones and answers the next.
    let start = std::time::Instant::now();
    assert_eq!(server.get("/healthz").await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(10));
    for mut stream in held {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    }
}

/// A byte now and then for as long as the server takes any: each would start the idle time anew.
async fn drip(address: std::net::SocketAddr, start: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(start).await.unwrap();
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn headers_that_drip_are_let_go_too() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = dir.path().join("blobs");
    let config = pybit_web::WebConfig { idle_ms: 300, most_connections: 4, ..Default::default() };
    let server = Server::start_as(dir, blobs, pybit_core::Policy::default(), config).await;
    let mut dripping = tokio::task::JoinSet::new();
    // The last two begin as HTTP/2 does, which is not spoken here.
    for start in ["GET / HTTP/1.1\r\nX-Slow: ", "GET /", "PRI * HTTP/2.0\r\n", "PR"] {
        dripping.spawn(drip(server.address, start.as_bytes()));
    }
    let answered = async {
        while dripping.join_next().await.is_some() {}
        server.get("/healthz").await.status
    };
    let answered = tokio::time::timeout(DEADLINE, answered).await;
    assert_eq!(answered.expect("every seat is free again"), 200);
}
