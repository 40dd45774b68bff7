//! Logs: appended, followed, archived.

use std::time::Duration;

use futures_util::StreamExt;
use pybit_client::{LogEvent, LogStream, Retry};
use pybit_core::model::{Failure, FailureClass, JobId, JobStatus, StreamOwner};
use pybit_core::protocol::FailRequest;

use crate::support::{DEADLINE, Server, digest};

async fn next(log: &mut LogStream) -> LogEvent {
    let event = tokio::time::timeout(DEADLINE, log.next()).await.expect("an event in time");
    event.expect("an event").unwrap()
}

/// Reads on until the log has ended; all of it and the status.
async fn rest(log: &mut LogStream) -> (Vec<u8>, JobStatus) {
    let mut all = Vec::new();
    loop {
        match next(log).await {
            LogEvent::Log { bytes, .. } => all.extend_from_slice(&bytes),
            LogEvent::End { status } => return (all, status),
        }
    }
}

async fn append(server: &Server, job: JobId, offset: u64, bytes: &[u8]) -> u64 {
    let api = server.api(&server.client);
    api.append_log(job, 1, offset, bytes.to_vec().into()).await.unwrap()
}

async fn fail(server: &Server, job: JobId, log: &[u8]) {
    let failure = Failure { class: FailureClass::Build, message: "it does not build".to_owned() };
    let report = FailRequest { attempt: 1, log: digest(log), failure, unmet: Vec::new() };
    let failed = server.api(&server.client).fail(job, &report).await.unwrap();
    assert_eq!(failed.status, JobStatus::Failed);
}

#[tokio::test]
async fn a_follower_sees_every_byte_as_it_comes_and_the_end() {
    let server = Server::start().await;
    let waiting = server.source_job("hello").await;
    // Followed before there is anything to follow.
    let mut early = server.api(&server.submit).follow(waiting.id, None, 0, Retry::patient());
    let claimed = server.api(&server.client).claim(&crate::support::claim("one", "abcdefgh")).await;
    let job = claimed.unwrap().assignment.unwrap().job.id;
    append(&server, job, 0, b"one\xff\x00\x1b[31m").await;
    let first = LogEvent::Log { offset: 10, bytes: b"one\xff\x00\x1b[31m".to_vec().into() };
    assert_eq!(next(&mut early).await, first);
    let mut late = server.api(&server.submit).follow(job, Some(1), 4, Retry::patient());
    let LogEvent::Log { offset: 10, bytes } = next(&mut late).await else { panic!() };
    assert_eq!(&bytes[..], b"\x00\x1b[31m");
    // Whoever only looks once a second is late for each of these, as they come just after a look; a slow machine for some.
    let mut soonest = Duration::MAX;
    for n in 0..5 {
        let start = std::time::Instant::now();
        append(&server, job, 10 + n, b"2").await;
        let more = LogEvent::Log { offset: 11 + n, bytes: b"2".to_vec().into() };
        assert_eq!(next(&mut early).await, more);
        if n > 0 {
            soonest = soonest.min(start.elapsed());
        }
    }
    assert!(soonest < Duration::from_millis(500), "it was woken, not polled: {soonest:?}");
    fail(&server, job, b"one\xff\x00\x1b[31m22222").await;
    assert_eq!(rest(&mut early).await, (Vec::new(), JobStatus::Failed));
    assert_eq!(rest(&mut late).await, (b"22222".to_vec(), JobStatus::Failed));
}

#[tokio::test]
async fn last_event_id_goes_on_where_it_says() {
    let server = Server::start().await;
    let job = server.held_job("hello").await.job.id;
    append(&server, job, 0, b"0123456789").await;
    fail(&server, job, b"0123456789").await;
    let request = server.request("GET", &format!("/api/v1/jobs/{job}/log/stream?offset=0"));
    let answer = server.send(request.header("Last-Event-ID", "7")).await;
    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(text, "id: 10\nevent: log\ndata: Nzg5\n\nid: 10\nevent: end\ndata: Failed\n\n");
    let bad = server.request("GET", &format!("/api/v1/jobs/{job}/log/stream"));
    assert_eq!(server.send(bad.header("Last-Event-ID", "x")).await.status, 400);
    assert_eq!(server.get(&format!("/api/v1/jobs/{job}/log/stream?attempt=2")).await.status, 404);
}

#[tokio::test]
async fn a_job_cancelled_before_it_was_built_ends_its_followers() {
    let server = Server::start().await;
    let job = server.source_job("hello").await.id;
    let mut log = server.api(&server.submit).follow(job, None, 0, Retry::patient());
    server.api(&server.submit).cancel(job, None).await.unwrap();
    assert_eq!(rest(&mut log).await, (Vec::new(), JobStatus::Cancelled));
    let none = server.get(&format!("/api/v1/jobs/{job}/log")).await;
    assert_eq!((none.status, none.code().as_str()), (404, "no_log"));
}

#[tokio::test]
async fn a_chatty_log_has_few_pieces_and_every_byte() {
    let server = Server::start().await;
    let job = server.held_job("hello").await.job.id;
    let mut all = Vec::new();
    for n in 0..200 {
        let line = format!("line {n}\n");
        append(&server, job, all.len() as u64, line.as_bytes()).await;
        all.extend(line.as_bytes());
    }
    let log =
        server.farm.storage().streams(StreamOwner::Attempt { job, attempt: 1 }).await.unwrap();
    let parts = server.farm.storage().parts(log[0].id, 0, 1000).await.unwrap();
    assert!(parts.len() < 80, "{} pieces", parts.len());
    let objects = std::fs::read_dir(server.blobs.join(format!("parts/{}", log[0].id))).unwrap();
    assert_eq!(objects.count(), parts.len(), "joined pieces are gone");
    let got = server.get(&format!("/api/v1/jobs/{job}/log")).await;
    assert!(got.bytes[..] == all[..]);
    // Sent again from the middle, across what was joined.
    assert_eq!(append(&server, job, 100, &all[100..900]).await, all.len() as u64);
}

#[tokio::test]
async fn an_ended_log_is_archived_and_read_from_any_offset() {
    let server = Server::start().await;
    let job = server.held_job("hello").await.job.id;
    let log: Vec<u8> = (0..300_000_u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    for (n, piece) in log.chunks(1 << 20).enumerate() {
        append(&server, job, (n as u64) << 20, piece).await;
    }
    fail(&server, job, &log).await;
    server.archived(job, 1).await;
    let whole = server.get(&format!("/api/v1/jobs/{job}/log")).await;
    assert!(whole.bytes[..] == log[..]);
    assert_eq!(whole.headers["content-type"], "text/plain; charset=utf-8");
    // (78) Whatever stands in it, a browser runs nothing of it.
    assert_eq!(whole.headers["content-security-policy"], "default-src 'none'; sandbox");
    for offset in [1, (1 << 20) - 1, 1 << 20, log.len() - 1, log.len(), log.len() + 1] {
        let part = server.get(&format!("/api/v1/jobs/{job}/log?offset={offset}")).await;
        assert!(part.bytes[..] == log[offset.min(log.len())..], "from {offset}");
    }
    assert!(!server.blobs.join("parts").exists(), "the pieces are gone");
    let mut follower = server.api(&server.submit).follow(job, None, 0, Retry::patient());
    assert_eq!(rest(&mut follower).await, (log, JobStatus::Failed));
}

#[tokio::test]
async fn a_log_beyond_its_limit_is_refused() {
    let policy = pybit_core::Policy { log_bytes: 10, ..pybit_core::Policy::default() };
    let dir = tempfile::tempdir().unwrap();
    let blobs = dir.path().join("blobs");
    let server = Server::start_with(dir, blobs, policy).await;
    let job = server.held_job("hello").await.job.id;
    let path = |offset: u64| format!("/api/v1/client/jobs/{job}/log?attempt=1&offset={offset}");
    let full = vec![b'x'; 1 << 20];
    assert_eq!(server.patch(&path(0), &server.client, full).await.status, 200);
    let answer = server.patch(&path(1 << 20), &server.client, "0123456789x").await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "log_too_large"), "(77)");
    let long = vec![b'x'; (1 << 20) + 1];
    assert_eq!(
        server.patch(&path(0), &server.client, long).await.status,
        413,
        "one piece too long"
    );
}

#[tokio::test]
async fn closing_followed_logs_changes_no_job() {
    let server = Server::start().await;
    let held = server.held_job("hello").await;
    // (102)
    for _ in 0..100 {
        let path = format!("/api/v1/jobs/{}/log/stream", held.job.id);
        drop(server.request("GET", &path).send().await.unwrap());
    }
    assert_eq!(server.farm.job(held.job.id).await.unwrap(), held.job);
}

#[tokio::test]
async fn what_one_server_takes_another_shows() {
    let one = Server::start().await;
    let two = one.beside().await;
    let job = one.held_job("hello").await.job.id;
    let mut followed = two.api(&one.submit).follow(job, Some(1), 0, Retry::patient());
    append(&one, job, 0, b"from one, ").await;
    append(&two, job, 10, b"from two").await;
    assert_eq!(append(&one, job, 0, b"from one, from two").await, 18, "sent again to the other");
    fail(&one, job, b"from one, from two").await;
    assert_eq!(rest(&mut followed).await, (b"from one, from two".to_vec(), JobStatus::Failed));
}

#[tokio::test]
async fn a_stopping_server_ends_followed_logs_and_held_claims() {
    let server = Server::start().await;
    let job = server.held_job("hello").await.job.id;
    append(&server, job, 0, b"x").await;
    let path = format!("/api/v1/jobs/{job}/log/stream");
    let mut followed = server.request("GET", &path).send().await.unwrap();
    assert!(followed.chunk().await.unwrap().is_some());
    let api = server.api(&server.client);
    let mut claim = crate::support::claim("one", "held-claim");
    claim.wait_ms = 30_000;
    claim.client.boot = "boot-2".to_owned();
    let held = tokio::spawn(async move { api.claim(&claim).await });
    let people = server.api(&server.submit);
    crate::builds::wait(async || people.clients().await.unwrap()[0].boot == "boot-2").await;
    let start = std::time::Instant::now();
    server.stop().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "sooner than the claim would have ended");
    assert!(held.await.unwrap().unwrap().assignment.is_none());
}
