//! Submissions: idempotent, refused in words.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use pybit_core::Policy;
use pybit_core::protocol::{CONTENT_DIGEST, content_digest};
use serde_json::{Value, json};

use crate::support::Server;

fn request() -> Value {
    json!({"source": {"method": "apt", "package": "hello"}, "suite": "bookworm"})
}

#[tokio::test]
async fn parallel_submissions_with_one_key_are_one() {
    submit_in_parallel(Server::start().await).await;
}

#[tokio::test]
async fn parallel_submissions_with_one_key_are_one_on_sqlite() {
    submit_in_parallel(Server::start_on_sqlite().await).await;
}

async fn submit_in_parallel(server: Server) {
    // (43)
    let sends = (0..100).map(|_| {
        let send = server.request("POST", "/api/v1/submissions").bearer_auth(&server.submit);
        server.send(send.header("Idempotency-Key", "push-1").json(&request()))
    });
    let answers = join_all(sends).await;
    let created = answers.iter().filter(|a| a.status == 201).count();
    let repeated = answers.iter().filter(|a| a.status == 200).count();
    assert_eq!((created, repeated), (1, 99));
    let numbers: BTreeSet<_> =
        answers.iter().map(|a| a.json()["submission"]["id"].as_i64()).collect();
    assert_eq!(numbers, BTreeSet::from([Some(1)]));
    assert_eq!(server.get("/api/v1/jobs").await.json().as_array().unwrap().len(), 1);
    let mut other = request();
    other["priority"] = 5.into();
    let again = server.request("POST", "/api/v1/submissions").bearer_auth(&server.submit);
    let again = server.send(again.header("Idempotency-Key", "push-1").json(&other)).await;
    assert_eq!((again.status, again.code().as_str()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_body_that_was_damaged_on_its_way_is_not_taken_for_the_one_that_was_sent() {
    let server = Server::start().await;
    let send = async |digest: String| {
        let send = server.request("POST", "/api/v1/submissions").bearer_auth(&server.submit);
        server.send(send.header(CONTENT_DIGEST, digest).json(&request())).await
    };
    let answer = send(content_digest(b"another")).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "damaged"));
    let told = answer.headers[CONTENT_DIGEST].to_str().unwrap();
    assert_eq!(told, content_digest(&answer.bytes), "an answer says what it is, too");
    assert_eq!(server.get("/api/v1/jobs").await.json(), json!([]), "nothing was recorded");
    let body = serde_json::to_vec(&request()).unwrap();
    let answer = send(content_digest(&body)).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers[CONTENT_DIGEST].to_str().unwrap(), content_digest(&answer.bytes));
}

#[tokio::test]
async fn keys_are_printable_and_short() {
    let server = Server::start().await;
    for (key, status) in
        [("", 400), (&*"k".repeat(201), 400), ("k\u{e9}", 400), (&*"k".repeat(200), 201)]
    {
        let send = server.request("POST", "/api/v1/submissions").bearer_auth(&server.submit);
        let answer = server.send(send.header("Idempotency-Key", key).json(&request())).await;
        assert_eq!(answer.status, status, "{key:?}");
    }
}

#[tokio::test]
async fn what_the_farm_does_not_serve_is_refused_with_what_it_serves() {
    let server = Server::start().await;
    for (field, value, code) in [
        ("suite", "sid", "unknown_suite"),
        ("dist", "Ubuntu", "unknown_dist"),
        ("format", "rpm", "unknown_format"),
        ("env", "mock", "unknown_env"),
        ("priority", "", "invalid_priority"),
    ] {
        let mut body = request();
        body[field] = if field == "priority" { json!(1001) } else { json!(value) };
        let answer = server.post("/api/v1/submissions", &server.submit, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, code));
    }
    let mut body = request();
    body["arches"] = json!(["riscv64"]);
    let answer = server.post("/api/v1/submissions", &server.submit, &body).await;
    assert_eq!(answer.code(), "unknown_arch");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("amd64"));
    body["arches"] = json!(["amd64", "amd64"]);
    let answer = server.post("/api/v1/submissions", &server.submit, &body).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "repeated_arch"));
    assert_eq!(server.get("/api/v1/jobs").await.json(), json!([]), "nothing was recorded");
    assert_eq!(server.get("/api/v1/submissions/1").await.code(), "unknown_submission");
}

#[tokio::test]
async fn a_block_rule_refuses_with_its_reason_until_it_is_removed() {
    let server = Server::start().await;
    let rule = json!({"id": 0, "subject": "package", "pattern": "^hel+o$", "reason": "not now"});
    let added = server.post("/api/v1/rules", &server.admin, &rule).await;
    assert_eq!(added.status, 201);
    let answer = server.post("/api/v1/submissions", &server.submit, &request()).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "blocked"));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("not now"));
    let path = format!("/api/v1/rules/{}", added.json()["id"]);
    let remove = || server.send(server.request("DELETE", &path).bearer_auth(&server.admin));
    assert_eq!((remove().await.status, remove().await.status), (204, 404));
    let answer = server.post("/api/v1/submissions", &server.submit, &request()).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn an_upload_that_is_not_whole_is_not_built_from() {
    let server = Server::start().await;
    let body = json!({"files": [{"name": "a_1.dsc", "size": 5, "sha256": "0".repeat(64)}]});
    server.post("/api/v1/uploads", &server.submit, &body).await;
    let from = json!({"source": {"method": "upload", "upload": 1, "main": "a_1.dsc"}, "suite": "bookworm"});
    let mine = server.post("/api/v1/submissions", &server.submit, &from).await;
    assert_eq!((mine.status, mine.code().as_str()), (422, "files_incomplete"));
    let others = server.post("/api/v1/submissions", &server.admin, &from).await;
    assert_eq!((others.status, others.code().as_str()), (404, "unknown_upload"));
}

/// Three that are good, one that cannot be read, one that is refused.
fn batch() -> Value {
    let apt =
        |name: &str| json!({"source": {"method": "apt", "package": name}, "suite": "bookworm"});
    let mut elsewhere = apt("sl");
    elsewhere["suite"] = "nowhere".into();
    json!([apt("hello"), {"suite": 7}, apt("jq"), elsewhere, apt("cowsay")])
}

#[tokio::test]
async fn of_a_batch_each_line_is_recorded_or_refused_by_itself() {
    let server = Server::start_on_sqlite().await;
    let ask = async || {
        let send = server.request("POST", "/api/v1/submissions/batch");
        let send = send.bearer_auth(&server.submit).header("Idempotency-Key", "nightly");
        server.send(send.json(&json!({"submissions": batch()}))).await
    };
    let answer = ask().await;
    assert_eq!(answer.status, 200, "{:?}", answer.bytes);
    let lines = answer.json()["lines"].as_array().unwrap().clone();
    let shown: Vec<_> = lines
        .iter()
        .map(|l| l["refused"]["code"].as_str().unwrap_or("recorded").to_owned())
        .collect();
    assert_eq!(
        shown,
        ["recorded", "malformed_submission", "recorded", "unknown_suite", "recorded"]
    );
    assert_eq!(server.get("/api/v1/jobs").await.json().as_array().unwrap().len(), 3);
    let again = ask().await.json();
    for (first, second) in lines.iter().zip(again["lines"].as_array().unwrap()) {
        assert_eq!(first["recorded"]["submission"], second["recorded"]["submission"]);
        assert_ne!(second["recorded"]["repeated"], false, "{second}");
    }
    assert_eq!(server.get("/api/v1/jobs").await.json().as_array().unwrap().len(), 3);
    let ids: Vec<_> = lines.iter().filter_map(|l| l["recorded"]["submission"].as_i64()).collect();
    let which = json!({"submissions": ids[..2]});
    let cancelled = server.post("/api/v1/jobs/cancel", &server.submit, &which).await.json();
    assert_eq!(cancelled.as_array().unwrap().len(), 2, "{cancelled}");
}

async fn served(policy: Policy) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let blobs = dir.path().join("blobs");
    Server::start_with(dir, blobs, policy).await
}

#[tokio::test]
async fn more_jobs_than_anybody_is_taken_to_mean_need_a_confirmation() {
    let policy = Policy { confirm_jobs: 8, batch_lines: 5, ..Policy::default() };
    let server = served(policy).await;
    let ask = async |path: &str, body: Value| server.post(path, &server.submit, &body).await;
    // Three lines of which each may become a source job and two binary jobs.
    let whole = json!({"submissions": batch()});
    let refused = ask("/api/v1/submissions/batch", whole.clone()).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "needs_confirmation"));
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("9 jobs"), "{message}");
    assert_eq!(server.get("/api/v1/jobs").await.bytes, "[]");
    let mut confirmed = whole;
    confirmed["confirmed"] = true.into();
    assert_eq!(ask("/api/v1/submissions/batch", confirmed.clone()).await.status, 200);
    let more = json!({"submissions": vec![request(); 6], "confirmed": true});
    let refused = ask("/api/v1/submissions/batch", more).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "too_many_submissions"));

    let server = served(Policy { confirm_jobs: 2, ..Policy::default() }).await;
    let one = async |path: &str| server.post(path, &server.submit, &request()).await;
    assert_eq!(one("/api/v1/submissions").await.code(), "needs_confirmation");
    assert_eq!(one("/api/v1/submissions?confirmed=true").await.status, 201);
}

#[tokio::test]
async fn a_source_on_a_builders_own_machine_is_refused_at_once_where_the_farm_says_so() {
    let git = |url: &str| json!({"source": {"method": "git", "url": url}, "suite": "bookworm"});
    let closed = served(Policy { file_sources: Some(false), ..Policy::default() }).await;
    for path in ["/api/v1/submissions", "/api/v1/submissions/plan"] {
        let answer = closed.post(path, &closed.submit, &git("file:///srv/git/hello")).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "file_source_refused"));
        let answer = closed.post(path, &closed.submit, &git("http://169.254.169.254/latest")).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_source_url"));
    }
    assert_eq!(closed.get("/api/v1/jobs").await.json(), json!([]), "nothing was recorded");
    let open = served(Policy { file_sources: Some(true), ..Policy::default() }).await;
    let answer =
        open.post("/api/v1/submissions", &open.submit, &git("file:///srv/git/hello")).await;
    assert_eq!(answer.status, 201);
}
