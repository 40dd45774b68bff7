//! The parts of the API that survive faults, against a peer that has them.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use pybit_core::model::{FileSpec, JobId, JobStatus};
use pybit_core::protocol::RemoteFile;
use sha2::{Digest, Sha256};

use super::{Destination, LogEvent};
use crate::backoff::{Backoff, Retry};
use crate::peer::{Fault, Peer};

fn quick(tries: u32) -> Retry {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(4));
    Retry { tries: Some(tries), backoff }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

fn spec(name: &str, bytes: &[u8]) -> FileSpec {
    FileSpec {
        name: name.parse().unwrap(),
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

const TO: Destination = Destination::Attempt { job: JobId(7), attempt: 2 };

async fn send(peer: &Peer, dir: &Path, bytes: &[u8]) -> super::ApiResult<()> {
    let path = dir.join("big.deb");
    tokio::fs::write(&path, bytes).await.unwrap();
    peer.api().send_files(TO, &[(spec("big.deb", bytes), path)], &quick(5)).await
}

#[tokio::test]
async fn a_file_arrives_exactly_once_through_lost_answers_and_forgotten_bytes() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    let bytes = noise(13 * 1024 * 1024 + 17);
    let faults = [
        Fault::LostAnswer,
        Fault::Away,
        Fault::DamagedRequest,
        Fault::None,
        Fault::DamagedAnswer,
        Fault::LostAnswer,
        Fault::Away,
        Fault::Forgot,
    ];
    peer.with(|s| s.faults.extend(faults));
    send(&peer, dir.path(), &bytes).await.unwrap();
    peer.with(|s| {
        assert!(s.faults.is_empty(), "every fault happened");
        assert!(s.files["7-2/big.deb"].1 == bytes);
    });
    let before = peer.with(|s| s.grown);
    send(&peer, dir.path(), &bytes).await.unwrap();
    assert_eq!(peer.with(|s| s.grown), before, "what is complete is not sent again");
}

#[tokio::test]
async fn an_empty_file_arrives_too() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    send(&peer, dir.path(), b"").await.unwrap();
    assert!(peer.with(|s| s.files.contains_key("7-2/big.deb")));
}

#[tokio::test]
async fn sending_ends_when_no_try_makes_progress() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    peer.with(|s| s.faults.extend([Fault::Away; 100]));
    let error = send(&peer, dir.path(), b"hello").await.unwrap_err();
    assert_eq!(error.status, Some(503));
    assert_eq!(peer.with(|s| s.faults.len()), 100 - 6);
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_declared_is_never_accepted() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("big.deb");
    tokio::fs::write(&path, b"other").await.unwrap();
    let files = [(spec("big.deb", b"hello"), path)];
    let error = peer.api().send_files(TO, &files, &quick(5)).await.unwrap_err();
    assert!(error.is("digest_mismatch"), "{error:?}");
}

fn remote(bytes: &[u8]) -> RemoteFile {
    RemoteFile { spec: spec("x.dsc", bytes), path: "/api/v1/uploads/3/files/x.dsc".to_owned() }
}

fn serve(peer: &Peer, path: &str, answers: &[&[u8]]) {
    let answers = answers.iter().map(|a| a.to_vec()).collect();
    peer.with(|s| s.pages.insert(path.to_owned(), answers));
}

#[tokio::test]
async fn a_download_has_exactly_the_declared_bytes() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    let to = dir.path().join("x.dsc");
    let file = remote(b"Format: 3.0");
    serve(&peer, &file.path, &[b"Format: 2.9", b"Format: 3.0"]);
    peer.api().download(&file, &to, quick(2)).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"Format: 3.0");
    for wrong in [&b"Format: 3.0 and more"[..], b"Format", b"Format: 2.9"] {
        serve(&peer, &file.path, &[wrong]);
        let to = dir.path().join("wrong");
        let error = peer.api().download(&file, &to, quick(2)).await.unwrap_err();
        assert!(error.is("digest_mismatch"), "{error:?}");
        assert!(!to.exists());
    }
}

#[tokio::test]
async fn a_server_cannot_send_its_client_elsewhere() {
    let peer = Peer::start().await;
    let paths =
        ["http://evil/api/v1/x", "//evil/api/v1/x", "/api/v1/../../x", "/metrics", "@evil/api/v1/"];
    for path in paths {
        let file = RemoteFile { spec: spec("x.dsc", b""), path: path.to_owned() };
        let error = peer.api().download(&file, Path::new("/nonexistent/x"), quick(1)).await;
        assert_eq!(error.unwrap_err().kind, pybit_core::ErrorKind::Invalid, "{path}");
    }
    assert!(peer.with(|s| s.asked.is_empty()));
}

/// What a server streams of a log from `offset` on.
fn stream(log: &[u8], mut offset: usize) -> Vec<u8> {
    let mut text = b": hello\n\n".to_vec();
    for piece in log[offset..].chunks(5) {
        offset += piece.len();
        let data = STANDARD.encode(piece);
        text.extend(format!("event: log\nid: {offset}\ndata: {data}\n\n").bytes());
    }
    text.extend_from_slice(b"event: end\ndata: Done\n\n");
    text
}

#[tokio::test]
async fn a_followed_log_goes_on_where_it_broke_off() {
    let peer = Peer::start().await;
    let log = noise(23);
    let (first, second, third) = (stream(&log, 0), stream(&log, 10), stream(&log, 15));
    // Cut inside the third event, then inside the second.
    let cut = |text: &[u8], event: usize| {
        let ends: Vec<_> = text.windows(2).enumerate().filter(|(_, w)| w == b"\n\n").collect();
        text[..ends[event].0 - 3].to_vec()
    };
    let answers = [cut(&first, 3), cut(&second, 2), third];
    let answers: Vec<_> = answers.iter().map(Vec::as_slice).collect();
    serve(&peer, "/api/v1/jobs/7/log/stream", &answers);
    let mut events = peer.api().follow(JobId(7), Some(2), 0, quick(3));
    let mut seen = Vec::new();
    let mut end = None;
    while let Some(event) = events.next().await {
        match event.unwrap() {
            LogEvent::Log { offset, bytes } => {
                seen.extend_from_slice(&bytes);
                assert_eq!(offset, seen.len() as u64);
            }
            LogEvent::End { status } => end = Some(status),
        }
    }
    assert!(seen == log);
    assert_eq!(end, Some(JobStatus::Done));
    let asked = peer.with(|s| s.asked.clone());
    assert_eq!(asked, ["attempt=2&offset=0", "attempt=2&offset=10", "attempt=2&offset=15"]);
}

#[tokio::test]
async fn following_ends_with_an_error_when_the_server_stays_away() {
    let peer = Peer::start().await;
    peer.with(|s| s.away = true);
    let events: Vec<_> = peer.api().follow(JobId(7), None, 0, quick(2)).collect().await;
    assert!(matches!(&events[..], [Err(e)] if e.status == Some(503)), "{events:?}");
}
