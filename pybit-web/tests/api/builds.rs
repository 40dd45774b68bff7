//! A submission from its first byte to its published result, through the typed client.

use std::path::Path;
use std::time::Duration;

use pybit_client::{Destination, Retry};
use pybit_core::model::JobStatus::{Building, Done, Uploaded, Waiting};
use pybit_core::model::{
    Health, JobFilter, JobId, JobKind, JobStatus, NewSubmission, Page, Produced, Source,
};
use pybit_core::protocol::{
    ClaimRequest, FinishRequest, HeartbeatRequest, Held, Input, LogDigest, Manifest,
    PublishedRequest, RepositoryKey, SourceReport, Verdict,
};
use pybit_web::suites::{SuiteConfig, resolve, suites_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{DEADLINE, Server, apt, claim, digest, on_disk, report, source_package, spec};

#[tokio::test]
async fn an_uploaded_source_becomes_a_published_package() {
    published_package(Server::start().await).await;
}

#[tokio::test]
async fn an_uploaded_source_becomes_a_published_package_on_sqlite() {
    published_package(Server::start_on_sqlite().await).await;
}

async fn published_package(server: Server) {
    let dir = tempfile::tempdir().unwrap();
    let request = upload_source(&server, dir.path()).await;
    let people = server.api(&server.submit);
    assert_eq!(people.plan(&request).await.unwrap().len(), 1);
    let none = people.jobs(&JobFilter::default(), &Page::first(9)).await.unwrap();
    assert!(none.is_empty(), "a plan records nothing");
    let reply = people.submit(&request, Some("key")).await.unwrap();
    let (id, kind) = (reply.jobs[0].id, reply.jobs[0].kind);
    assert_eq!(kind, JobKind::Binary);
    build(&server, id, dir.path()).await;
    tell(&server, Some("the index cannot be signed")).await;
    let why = people.why(id).await.unwrap().summary;
    assert!(why.contains("the repository trixie does not take it"), "{why}");
    assert!(why.ends_with("the index cannot be signed."), "{why}");
    tell(&server, None).await;
    let why = people.why(id).await.unwrap().summary;
    assert_eq!(why, "It is built; the repository does not hold it yet.");
    publish(&server, id, dir.path()).await;
    let detail = people.job(id).await.unwrap();
    let passed: Vec<_> = detail.events.iter().map(|e| e.to).collect();
    assert_eq!(passed, [Waiting, Building, Uploaded, Done]);
    assert_eq!(detail.attempts[0].log_length, LOG.len() as u64);
    assert!(detail.files.iter().all(|f| f.complete));
    assert_eq!(&people.log(id, None, 9).await.unwrap()[..], &LOG[9..]);
    server.stop().await.unwrap();
}

/// From `[[suites]]` to the repositories of a build, which `deb/steps.rs` and `rpm/mock/steps.rs` make commands of.
#[tokio::test]
async fn builds_of_a_suite_that_overlays_are_told_so_and_others_are_not() {
    let server = Server::start().await;
    let (admin, dir) = (server.api(&server.admin), tempfile::tempdir().unwrap());
    let request = upload_source(&server, dir.path()).await;
    for (n, overlay) in [false, true, false].into_iter().enumerate() {
        let mut wanted = admin.catalogue().await.unwrap();
        let mut suites = suites_of(&wanted);
        let suite = suites.iter_mut().find(|s| s.name.as_str() == "trixie").unwrap();
        suite.overlay = overlay;
        let suites = resolve(&suites).unwrap();
        wanted.repositories = suites.iter().filter_map(SuiteConfig::repository).collect();
        admin.replace_catalogue(&wanted, false).await.unwrap();
        tell(&server, None).await;
        let request = NewSubmission { force: true, ..request.clone() };
        server.api(&server.submit).submit(&request, Some(&format!("key{n}"))).await.unwrap();
        let id = format!("abcdefg{n}");
        let claimed = server.api(&server.client).claim(&claim("one", &id)).await.unwrap();
        let repositories = claimed.assignment.unwrap().repositories;
        assert_eq!(repositories.iter().map(|r| r.overlay).collect::<Vec<_>>(), [overlay]);
    }
    server.stop().await.unwrap();
}

/// The watcher tells how its repository is.
async fn tell(server: &Server, trouble: Option<&str>) {
    let health = Health { trouble: trouble.map(str::to_owned), ..Health::default() };
    let key = RepositoryKey {
        public_key:
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc=\n-----END PGP PUBLIC KEY BLOCK-----\n"
                .to_owned(),
        url: "http://h:1/repositories/trixie".to_owned(),
        health: Some(health),
    };
    let api = server.api(&server.publish);
    api.put_repository_key(&"trixie".parse().unwrap(), &key).await.unwrap();
}

const LOG: &[u8] = b"building\nbuilt\n";

/// Uploads a source package; the submission that builds it on one architecture.
async fn upload_source(server: &Server, dir: &Path) -> NewSubmission {
    let people = server.api(&server.submit);
    let files = on_disk(dir, &source_package("hello", "1.0"));
    let specs = files.iter().map(|(s, _)| s.clone()).collect();
    let upload = people.declare_upload(&Manifest { attempt: 0, files: specs }).await.unwrap();
    let to = Destination::Upload(upload.id);
    people.send_files(to, &files, &Retry::patient()).await.unwrap();
    assert!(people.upload(upload.id).await.unwrap().iter().all(|f| f.complete));
    NewSubmission {
        source: Source::Upload { upload: upload.id, main: "hello_1.0.dsc".parse().unwrap() },
        arches: vec!["amd64".parse().unwrap()],
        ..apt("hello", "trixie")
    }
}

/// Claims the job, fetches its source, sends log and result.
async fn build(server: &Server, id: JobId, dir: &Path) {
    let builder = server.api(&server.client);
    let assignment = builder.claim(&claim("one", "abcdefgh")).await.unwrap().assignment.unwrap();
    assert_eq!((assignment.job.id, assignment.job.attempt), (id, 1));
    let Input::Package { main, files } = &assignment.input else { panic!("{assignment:?}") };
    assert_eq!(main.as_str(), "hello_1.0.dsc");
    for file in files {
        let to = dir.join(format!("fetched-{}", file.spec.name));
        builder.download(file, &to, Retry::patient()).await.unwrap();
        let sent = std::fs::read(dir.join(file.spec.name.as_str())).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), sent);
    }
    for (offset, piece) in [(0, &LOG[..9]), (9, &LOG[9..])] {
        let length = builder.append_log(id, 1, offset, piece.to_vec().into()).await.unwrap();
        assert_eq!(length, offset + piece.len() as u64);
    }
    let result = on_disk(dir, &[("hello_1.0_amd64.deb".to_owned(), vec![7; 100_000])]);
    let to = Destination::Attempt { job: id, attempt: 1 };
    builder.send_files(to, &result, &Retry::patient()).await.unwrap();
    let produced = Produced {
        name: "hello".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        arch: "amd64".to_owned(),
    };
    let finish = FinishRequest {
        attempt: 1,
        log: digest(LOG),
        files: result.iter().map(|(s, _)| s.clone()).collect(),
        source: None,
        produced: vec![produced],
    };
    assert_eq!(builder.finish(id, &finish).await.unwrap().status, Uploaded);
    assert_eq!(builder.finish(id, &finish).await.unwrap().status, Uploaded, "(71) said twice");
}

/// Fetches what is to be published, and reports it.
async fn publish(server: &Server, id: JobId, dir: &Path) {
    let watcher = server.api(&server.publish);
    let sets = watcher.uploaded(&"trixie".parse().unwrap(), None, 0).await.unwrap();
    assert_eq!((sets.len(), sets[0].job.id), (1, id));
    let behind = watcher.uploaded(&"trixie".parse().unwrap(), Some(id), 0).await.unwrap();
    assert!(behind.is_empty(), "nothing is behind it");
    for file in sets[0].files.iter().chain(&sets[0].source_files) {
        let to = dir.join(format!("published-{}", file.spec.name));
        watcher.download(file, &to, Retry::patient()).await.unwrap();
        let sent = std::fs::read(dir.join(file.spec.name.as_str())).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), sent);
    }
    let published = PublishedRequest { attempt: 1, snapshot: "1".to_owned() };
    assert_eq!(watcher.published(id, &published).await.unwrap().status, Done);
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
async fn a_held_claim_ends_with_its_connection() {
    let server = Server::start().await;
    let request = ClaimRequest { wait_ms: 25_000, ..claim("one", "of-the-dead") };
    let body = serde_json::to_string(&request).unwrap();
    let head = format!(
        "POST /api/v1/client/claim HTTP/1.1\r\nHost: farm\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.client,
        body.len()
    );
    let mut dead = TcpStream::connect(server.address).await.unwrap();
    dead.write_all((head + &body).as_bytes()).await.unwrap();
    let people = server.api(&server.submit);
    wait(async || !people.clients().await.unwrap().is_empty()).await;
    dead.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let gone = tokio::time::timeout(Duration::from_secs(5), dead.read_to_end(&mut answer)).await;
    gone.expect("the server lets go of it").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "");
    let job = server.source_job("hello").await;
    let living = server.api(&server.client).claim(&claim("one", "of-the-living")).await.unwrap();
    let got = living.assignment.expect("nobody else has taken it").job;
    assert_eq!((got.id, got.attempt), (job.id, 1));
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
async fn a_confirmation_that_comes_before_the_last_lines_names_no_digest_of_them() {
    let server = Server::start().await;
    let (builder, people) = (server.api(&server.client), server.api(&server.submit));
    for (package, bytes, whole) in [("hello", &b""[..], true), ("world", b"never sent", false)] {
        let held = server.held_job(package).await;
        people.cancel(held.job.id, None).await.unwrap();
        let stopped =
            pybit_core::protocol::StoppedRequest { attempt: held.job.attempt, log: digest(bytes) };
        builder.stopped(held.job.id, &stopped).await.unwrap();
        let attempts = people.job(held.job.id).await.unwrap().attempts;
        assert_eq!(attempts[0].log_sha256.is_some(), whole, "{package}");
    }
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
