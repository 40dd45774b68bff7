//! What the server's log says of requests. A program of its own: what a thread logs depends on every other thread's
//! subscriber.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[expect(dead_code, reason = "the other test programs use the rest of it")]
#[path = "support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};

use serde_json::json;

use support::Server;

/// What the server says of itself, kept in memory.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_request_is_one_line_in_the_log_and_no_line_holds_a_secret() {
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start().await;
    let made =
        server.post("/api/v1/tokens", &server.admin, &json!({"name": "x", "role": "submit"})).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let mut ids = vec![(made, "POST")];
    let query = format!("/api/v1/jobs?token={secret}");
    for path in ["/healthz", "/api/v1/jobs/7", "/nothing%0a%1b", &query, "/jobs"] {
        ids.push((server.get(path).await, "GET"));
    }
    let wrong = server.request("GET", "/api/v1/tokens").bearer_auth(format!("{secret}x"));
    ids.push((server.send(wrong).await, "GET"));
    let password = "correct horse";
    let account = json!({"name": "ann", "role": "submit", "password": password});
    ids.push((server.post("/api/v1/accounts", &server.admin, &account).await, "POST"));
    for tried in [password, "correct horsf"] {
        let hook = server.request("POST", "/job/vcshook").basic_auth("ann", Some(tried));
        ids.push((server.send(hook.json(&1)).await, "POST"));
    }
    let storage = server.farm.storage();
    let (_, hash) = storage.account(&"ann".parse().unwrap()).await.unwrap().unwrap();
    let kept = hash.expose().rsplit('$').next().unwrap().to_owned();
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    for (answer, method) in ids {
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let lines: Vec<_> =
            said.lines().filter(|l| l.contains(id) && l.contains("answered")).collect();
        assert_eq!(lines.len(), 1, "{id} in {said}");
        let status = format!("status={}", answer.status);
        assert!(lines[0].contains(&status) && lines[0].contains(method), "{}", lines[0]);
    }
    assert!(said.contains("who=\"account ann\"") && said.contains("a password was refused"));
    for secret in [&secret, &server.admin, &server.submit, password, "correct horsf", &kept] {
        assert!(!said.contains(secret), "a secret is in the log");
    }
    assert!(!said.contains('\u{1b}'));
}
