//! Requests as they are, to a server on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status; 0 where no answer came.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

/// Sends one request on a connection of its own; `headers` are whole lines.
pub(crate) fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let none = Answer { status: 0, body: String::new() };
    let Ok(mut stream) = TcpStream::connect(address) else { return none };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = format!("Content-Length: {}", body.len());
    let lines = ["Host: 127.0.0.1", "Connection: close", length.as_str()];
    let lines = [&lines[..], headers].concat().join("\r\n");
    let head = format!("{method} {path} HTTP/1.1\r\n{lines}\r\n\r\n");
    if stream.write_all(&[head.as_bytes(), body].concat()).is_err() {
        return none;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Answer { status, body: body.to_owned() }
}
