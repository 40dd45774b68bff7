//! The server itself.

use std::net::SocketAddr;

use pybit_web::{Blobs, WebConfig, WebParts, serve};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::support::Server;

#[tokio::test]
async fn it_is_alive_ready_and_counted() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.bytes, "ok\n");
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["storage"].as_str()), (200, Some("ok")));
    assert_eq!(ready.json()["blobs"], "ok");
    server.held_job("hello").await;
    let metrics = server.get("/metrics").await;
    let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(text.contains("pybit_jobs{status=\"Building\"} 1"), "{text}");
    assert!(text.contains("pybit_attempts_claimed_total 1"), "{text}");
    assert!(text.contains("route=\"/api/v1/submissions\""), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_in_one_sentence() {
    let server = Server::start().await;
    let config = WebConfig { listen: server.address, ..WebConfig::default() };
    let dir = tempfile::tempdir().unwrap();
    let parts = WebParts {
        farm: server.farm.clone(),
        blobs: Blobs::folder(dir.path()).unwrap(),
        uploads: None,
    };
    let error =
        serve(config, parts, oneshot::channel().0, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.code(), "cannot_listen");
    let expected = format!(
        "cannot listen on {}: another program listens there; stop it or choose another address",
        server.address
    );
    assert_eq!(error.message(), expected);
}

#[tokio::test]
async fn a_stopped_server_frees_its_address() {
    let server = Server::start().await;
    let (farm, address) = (server.farm.clone(), server.address);
    assert_eq!(server.get("/healthz").await.status, 200);
    server.stop().await.unwrap();
    let config = WebConfig { listen: address, ..WebConfig::default() };
    let dir = tempfile::tempdir().unwrap();
    let parts = WebParts { farm, blobs: Blobs::folder(dir.path()).unwrap(), uploads: None };
    let (ready, bound) = oneshot::channel::<SocketAddr>();
    let stop = CancellationToken::new();
    let again = tokio::spawn(serve(config, parts, ready, stop.clone()));
    assert_eq!(bound.await.unwrap(), address);
    stop.cancel();
    again.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_answer_is_fenced_in_for_browsers() {
    let server = Server::start().await;
    for path in [
        "/",
        "/jobs",
        "/packages",
        "/clients",
        "/static/style.css",
        "/nothing",
        "/api/v1/jobs",
        "/jobs/1",
    ] {
        let answer = server.get(path).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self'; script-src 'self'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{path}");
        assert!(!answer.headers.contains_key("set-cookie"), "{path}");
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn the_pages_show_a_job_as_text() {
    let server = Server::start().await;
    let held = server.held_job("hello").await;
    let log = "<script>alert(1)</script>\u{1b}]52;c;x\u{7}\n##[pybit] fake\n";
    let api = server.api(&server.client);
    api.append_log(held.job.id, 1, 0, log.as_bytes().to_vec().into()).await.unwrap();
    let page = server.get(&format!("/jobs/{}", held.job.id)).await;
    let html = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert_eq!(page.status, 200);
    assert!(html.contains("hello") && html.contains("Building"));
    // (78)
    assert!(!html.contains("<script>alert") && !html.contains('\u{1b}') && !html.contains('\u{7}'));
    assert_eq!(server.get("/jobs/999").await.status, 404);
}
