//! A log arrives exactly once, whatever the server does.

use std::time::Duration;

use pybit_core::build::LogSink;
use pybit_core::model::JobId;

use super::*;
use crate::peer::{Fault, Peer};

fn quick() -> Backoff {
    Backoff::new(Duration::from_millis(1), Duration::from_millis(10))
}

async fn spool(dir: &tempfile::TempDir) -> Arc<Spool> {
    Arc::new(Spool::open(dir.path().join("log"), 1 << 30).await.unwrap())
}

async fn durable(shipper: &Shipper, length: u64) -> Result<(), (String, String)> {
    tokio::time::timeout(Duration::from_secs(20), shipper.durable(length)).await.expect("in time")
}

#[tokio::test]
async fn every_byte_of_a_log_arrives_exactly_once() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    let faults = [Fault::LostAnswer, Fault::Away, Fault::Forgot, Fault::None, Fault::LostAnswer];
    peer.with(|s| s.faults.extend(faults.iter().cycle().take(23)));
    let spool = spool(&dir).await;
    let shipper = Shipper::start(&peer.api(), (JobId(7), 2), &spool, quick());
    let mut all = Vec::new();
    for n in 0..400_u32 {
        let piece = format!("{n}: {}\n", "x".repeat(n as usize * 31 % 9_973));
        spool.write(piece.as_bytes()).await.unwrap();
        all.extend_from_slice(piece.as_bytes());
    }
    durable(&shipper, all.len() as u64).await.unwrap();
    assert!(peer.with(|s| s.logs["7-2"] == all));
}

#[tokio::test]
async fn a_log_grows_while_the_server_is_away_and_follows_when_it_is_back() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    peer.with(|s| s.away = true);
    let spool = spool(&dir).await;
    let shipper = Shipper::start(&peer.api(), (JobId(7), 2), &spool, quick());
    let all = vec![b'x'; 3 * 1024 * 1024];
    spool.write(&all).await.unwrap();
    peer.with(|s| s.away = false);
    durable(&shipper, all.len() as u64).await.unwrap();
    assert!(peer.with(|s| s.logs["7-2"] == all));
}

#[tokio::test]
async fn a_restarted_client_goes_on_with_the_log() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    let first = spool(&dir).await;
    first.write(b"one\n").await.unwrap();
    let shipper = Shipper::start(&peer.api(), (JobId(7), 2), &first, quick());
    durable(&shipper, 4).await.unwrap();
    drop(shipper);
    first.write(b"two\n").await.unwrap();
    let again = spool(&dir).await;
    again.write(b"three\n").await.unwrap();
    let shipper = Shipper::start(&peer.api(), (JobId(7), 2), &again, quick());
    durable(&shipper, again.length()).await.unwrap();
    assert_eq!(peer.with(|s| s.logs["7-2"].clone()), b"one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_log_that_diverged_is_given_up() {
    let (peer, dir) = (Peer::start().await, tempfile::tempdir().unwrap());
    peer.with(|s| s.logs.insert("7-2".to_owned(), b"other".to_vec()));
    let spool = spool(&dir).await;
    let shipper = Shipper::start(&peer.api(), (JobId(7), 2), &spool, quick());
    spool.write(b"hello").await.unwrap();
    let (code, _) = durable(&shipper, 5).await.unwrap_err();
    assert_eq!(code, "diverged");
}
