//! A submission from its first byte to its published result, through the typed client.

use std::time::Duration;

use pybit_client::{Destination, Retry};
use pybit_core::model::{JobKind, JobStatus, NewSubmission, Produced, Source};
use pybit_core::protocol::{
    ClaimRequest, FinishRequest, HeartbeatRequest, Held, Input, LogDigest, Manifest,
    PublishedRequest, SourceReport, Verdict,
};

use crate::support::{DEADLINE, Server, apt, claim, digest, on_disk, report, source_package, spec};

#[tokio::test]
async fn an_uploaded_source_becomes_a_published_package() {
    let server = Server::start().await;
    let (people, builder, watcher) =
        (server.api(&server.submit), server.api(&server.client), server.api(&server.publish));
    let dir = tempfile::tempdir().unwrap();
    let package = source_package("hello", "1.0");
    let files = on_disk(dir.path(), &package);
    let specs: Vec<_> = files.iter().map(|(s, _)| s.clone()).collect();
    let upload = people.declare_upload(&Manifest { attempt: 0, files: specs }).await.unwrap();
    people.send_files(Destination::Upload(upload.id), &files, &Retry::patient()).await.unwrap();
    assert!(people.upload(upload.id).await.unwrap().iter().all(|f| f.complete));
    let request = NewSubmission {
        source: Source::Upload { upload: upload.id, main: "hello_1.0.dsc".parse().unwrap() },
        arches: vec!["amd64".parse().unwrap()],
        ..apt("hello", "trixie")
    };
    let planned = people.plan(&request).await.unwrap();
    assert_eq!(planned.len(), 1);
    assert!(
        people
            .jobs(&Default::default(), &pybit_core::model::Page::first(9))
            .await
            .unwrap()
            .is_empty()
    );
    let reply = people.submit(&request, Some("key")).await.unwrap();
    let job = &reply.jobs[0];
    assert_eq!((job.kind, job.status), (JobKind::Binary, JobStatus::Waiting));

    let reply = builder.claim(&claim("one", "abcdefgh")).await.unwrap();
    let assignment = reply.assignment.unwrap();
    let Input::Package { main, files } = &assignment.input else { panic!("{assignment:?}") };
    assert_eq!(main.as_str(), "hello_1.0.dsc");
    for file in files {
        let to = dir.path().join(format!("fetched-{}", file.spec.name));
        builder.download(file, &to, Retry::patient()).await.unwrap();
        let sent = package.iter().find(|(name, _)| name == file.spec.name.as_str()).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), sent.1);
    }
    let (id, attempt, log) = (assignment.job.id, assignment.job.attempt, b"building\nbuilt\n");
    assert_eq!(builder.append_log(id, attempt, 0, log[..9].to_vec().into()).await.unwrap(), 9);
    assert_eq!(builder.append_log(id, attempt, 9, log[9..].to_vec().into()).await.unwrap(), 15);
    let result = on_disk(dir.path(), &[("hello_1.0_amd64.deb".to_owned(), vec![7; 100_000])]);
    let to = Destination::Attempt { job: id, attempt };
    builder.send_files(to, &result, &Retry::patient()).await.unwrap();
    let finish = FinishRequest {
        attempt,
        log: digest(log),
        files: result.iter().map(|(s, _)| s.clone()).collect(),
        source: None,
        produced: vec![Produced {
            name: "hello".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            arch: "amd64".to_owned(),
        }],
    };
    assert_eq!(builder.finish(id, &finish).await.unwrap().status, JobStatus::Uploaded);
    assert_eq!(
        builder.finish(id, &finish).await.unwrap().status,
        JobStatus::Uploaded,
        "(71) said twice"
    );

    let sets = watcher.uploaded(&"trixie".parse().unwrap(), 0).await.unwrap();
    assert_eq!((sets.len(), sets[0].job.id), (1, id));
    let to = dir.path().join("published.deb");
    watcher.download(&sets[0].files[0], &to, Retry::patient()).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), vec![7; 100_000]);
    for source in &sets[0].source_files {
        let to = dir.path().join(format!("source-{}", source.spec.name));
        watcher.download(source, &to, Retry::patient()).await.unwrap();
    }
    let published = PublishedRequest { attempt, snapshot: "1".to_owned() };
    assert_eq!(watcher.published(id, &published).await.unwrap().status, JobStatus::Done);
    let detail = people.job(id).await.unwrap();
    let passed: Vec<_> = detail.events.iter().map(|e| e.to).collect();
    use JobStatus::{Building, Done, Uploaded, Waiting};
    assert_eq!(passed, [Waiting, Building, Uploaded, Done]);
    assert_eq!(detail.attempts[0].log_length, 15);
    assert!(detail.files.iter().all(|f| f.complete));
    assert_eq!(&people.log(id, None, 9).await.unwrap()[..], &log[9..]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_source_job_leads_to_binary_jobs_of_every_architecture() {
    let server = Server::start().await;
    let builder = server.api(&server.client);
    let held = server.held_job("hello").await;
    assert_eq!((held.job.kind, held.job.attempt), (JobKind::Source, 1));
    let dir = tempfile::tempdir().unwrap();
    let files = on_disk(dir.path(), &source_package("hello", "2.0"));
    let to = Destination::Attempt { job: held.job.id, attempt: 1 };
    builder.send_files(to, &files, &Retry::patient()).await.unwrap();
    let finish = FinishRequest {
        attempt: 1,
        log: digest(b""),
        files: files.iter().map(|(s, _)| s.clone()).collect(),
        source: Some(SourceReport {
            main: "hello_2.0.dsc".parse().unwrap(),
            resolved: "2.0".to_owned(),
        }),
        produced: Vec::new(),
    };
    let done = builder.finish(held.job.id, &finish).await.unwrap();
    assert_eq!((done.status, done.version.unwrap().as_str()), (JobStatus::Done, "2.0"));
    let jobs = builder.submission(held.job.submission).await.unwrap().jobs;
    let arches: Vec<_> = jobs.iter().map(|j| j.target.arch.to_string()).collect();
    assert_eq!(arches, ["source", "amd64", "arm64"]);
    let reply = builder.claim(&claim("one", "next-one")).await.unwrap();
    let Some(Input::Package { files, .. }) = reply.assignment.map(|a| a.input) else { panic!() };
    assert_eq!(files.len(), 2, "binary jobs build from the source job's files");
}

#[tokio::test]
async fn a_held_claim_gets_the_job_that_comes_while_it_waits() {
    let server = Server::start().await;
    let builder = server.api(&server.client);
    let request = ClaimRequest { wait_ms: 20_000, ..claim("one", "waiting") };
    let held = tokio::spawn(async move { builder.claim(&request).await });
    // The claim has arrived once the client is known.
    let people = server.api(&server.submit);
    wait(async || !people.clients().await.unwrap().is_empty()).await;
    let start = std::time::Instant::now();
    let job = server.source_job("hello").await;
    let reply = tokio::time::timeout(DEADLINE, held).await.unwrap().unwrap().unwrap();
    assert_eq!(reply.assignment.unwrap().job.id, job.id);
    assert!(start.elapsed() < Duration::from_secs(8), "it was woken, not polled");
}

#[tokio::test]
async fn a_heartbeat_tells_a_cancelled_job_and_stopped_ends_it() {
    let server = Server::start().await;
    let builder = server.api(&server.client);
    let held = server.held_job("hello").await;
    let beat = HeartbeatRequest {
        client: report("one"),
        jobs: vec![
            Held { job: held.job.id, attempt: 1 },
            Held { job: held.job.id, attempt: 7 },
            Held { job: pybit_core::model::JobId(999), attempt: 1 },
        ],
    };
    let reply = builder.heartbeat(&beat).await.unwrap();
    assert_eq!(reply.verdicts, [Verdict::Continue, Verdict::Stale, Verdict::Unknown]);
    let cancelled = server.api(&server.submit).cancel(held.job.id, Some("no".to_owned())).await;
    assert_eq!(cancelled.unwrap().status, JobStatus::Cancelling);
    assert_eq!(builder.heartbeat(&beat).await.unwrap().verdicts[0], Verdict::Cancel);
    // (72) A result for a job that is being cancelled is refused.
    let finish = FinishRequest {
        attempt: 1,
        log: digest(b""),
        files: Vec::new(),
        source: None,
        produced: Vec::new(),
    };
    assert_eq!(builder.finish(held.job.id, &finish).await.unwrap_err().status, Some(409));
    let stopped = pybit_core::protocol::StoppedRequest { attempt: 1, log: digest(b"") };
    let ended = builder.stopped(held.job.id, &stopped).await.unwrap();
    assert_eq!(ended.status, JobStatus::Cancelled);
}

#[tokio::test]
async fn only_the_holder_with_the_newest_attempt_is_heard() {
    let server = Server::start().await;
    let held = server.held_job("hello").await;
    let id = held.job.id;
    let other = server.other_client("two").await;
    let log = LogDigest { length: 0, sha256: "0".repeat(64) };
    let reports = [
        ("finish", serde_json::json!({"attempt": 1, "log": log, "files": []})),
        (
            "fail",
            serde_json::json!({"attempt": 1, "log": log, "failure": {"class": "build", "message": "x"}}),
        ),
        ("refuse", serde_json::json!({"attempt": 1, "reason": "x"})),
        ("stopped", serde_json::json!({"attempt": 1, "log": log})),
        ("files", serde_json::json!({"attempt": 1, "files": [spec("a", b"x")]})),
    ];
    for (what, report) in reports {
        let path = format!("/api/v1/client/jobs/{id}/{what}");
        // (74) Another client's job.
        assert_eq!(server.post(&path, &other, &report).await.status, 403, "{what}");
        for (attempt, code) in [(0, "stale_attempt"), (2, "future_attempt")] {
            // (69, 70) Old and future tokens.
            let mut report = report.clone();
            report["attempt"] = attempt.into();
            let answer = server.post(&path, &server.client, &report).await;
            assert_eq!((answer.status, answer.code().as_str()), (409, code), "{what}");
        }
    }
    for (attempt, token, status) in
        [(0, &server.client, 409), (2, &server.client, 409), (1, &other, 403)]
    {
        for what in ["log", "files/a"] {
            let path = format!("/api/v1/client/jobs/{id}/{what}?attempt={attempt}&offset=0");
            assert_eq!(server.patch(&path, token, "x").await.status, status, "{what} {attempt}");
        }
    }
    assert_eq!(server.farm.job(id).await.unwrap().row_version, held.job.row_version);
    // (75) A client that claims under another's name.
    let stolen = serde_json::to_value(claim("one", "abcdefgh")).unwrap();
    assert_eq!(server.post("/api/v1/client/claim", &other, &stolen).await.status, 403);
}

/// Asks until it is so.
pub(crate) async fn wait(mut ask: impl AsyncFnMut() -> bool) {
    let start = std::time::Instant::now();
    while !ask().await {
        assert!(start.elapsed() < DEADLINE, "waited too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
