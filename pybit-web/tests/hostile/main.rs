//! What strangers send: each row names the item of the threat model's list (`docs/` of the design, "hostile inputs") that it
//! is. Whatever it is, the answer is the one named, never a 5xx, and nothing in the farm changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod refusals;
#[expect(dead_code, reason = "the other test program uses the rest of it")]
#[path = "../support/mod.rs"]
mod support;
mod wire;

use serde_json::json;

use support::Server;

/// Item, method, path, content type, body, expected status.
type Row = (u32, &'static str, &'static str, &'static str, Vec<u8>, u16);

const JSON: &str = "application/json";

/// Every row is sent with a token that may do it.
async fn check(rows: Vec<Row>) {
    let server = Server::start().await;
    for (item, method, path, kind, body, expected) in rows {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let token = if path.contains("/rules") { &server.admin } else { &server.submit };
        let request = server.request(method, path).bearer_auth(token);
        let answer = server.send(request.header("Content-Type", kind).body(body)).await;
        assert_eq!(answer.status, expected, "({item}) {method} {path} {shown}");
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!(!text.contains(['\u{202e}', '\0', '\u{1b}']), "({item}) echoed raw: {text}");
        assert!(!answer.code().is_empty(), "({item}) {text}");
    }
    assert_eq!(server.get("/api/v1/jobs").await.json(), json!([]), "nothing was recorded");
    assert_eq!(server.get("/api/v1/catalogue").await.json()["rules"], json!([]));
    assert_eq!(server.get("/healthz").await.status, 200);
}

const SUBMIT: &str = "/api/v1/submissions";

#[tokio::test]
async fn reading_changes_nothing() {
    let server = Server::start().await;
    let job = server.source_job("hello").await.id;
    // (10) Neither the original's addresses nor ours change anything by being read.
    for path in ["/job/1/cancel", "/job/cancelall", "/arch/1/delete"] {
        let answer = server.send(server.request("GET", path).bearer_auth(&server.admin)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    for path in [
        "/api/v1/jobs/1/cancel",
        "/api/v1/jobs/1/retry",
        "/api/v1/submissions",
        "/api/v1/rules/1",
        "/api/v1/uploads",
        "/api/v1/clients/one/drain",
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "FOO"] {
            let answer = server.send(server.request(method, path).bearer_auth(&server.admin)).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    // (11, 13) There are no cookies, so another site's form has nothing to ride on.
    for origin in ["https://evil.example", "null"] {
        let path = format!("/api/v1/jobs/{job}/cancel");
        let form =
            server.request("POST", &path).header("Origin", origin).header("Cookie", "session=1");
        assert_eq!(server.send(form.body("reason=x")).await.status, 401);
    }
    // (16, 17) What a client says of itself and of us is in no answer.
    let answer = server.request("GET", "/jobs").header("Host", "evil.example");
    let answer = server
        .send(
            answer.header("X-Forwarded-For", "10.0.0.1").header("X-Forwarded-Host", "evil.example"),
        )
        .await;
    assert_eq!(answer.status, 200);
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("evil"));
    // (18) Nothing of an address becomes a header.
    let answer = server.get("/jobs?before=%0d%0aSet-Cookie:x").await;
    assert!(!answer.headers.contains_key("set-cookie"));
    assert_eq!(server.farm.job(job).await.unwrap().row_version, 1);
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let server = Server::start().await;
    // (27)
    for encoding in ["gzip", "zstd", "br", "deflate, gzip"] {
        for (method, path) in [("POST", SUBMIT), ("POST", "/api/v1/uploads")] {
            let request = server.request(method, path).bearer_auth(&server.submit);
            let request = request.header("Content-Type", JSON).header("Content-Encoding", encoding);
            assert_eq!(server.send(request.body(vec![0; 100])).await.status, 415, "{encoding}");
        }
    }
}

#[tokio::test]
async fn names_that_look_alike_are_shown_as_text() {
    let server = Server::start().await;
    // (39) A rule's reason may hold anything, and a page or answer shows it as text.
    let canary = "<img src=x onerror=alert(1)>";
    let rule = json!({"subject": "package", "pattern": "^bad$", "reason": canary});
    assert_eq!(server.post("/api/v1/rules", &server.admin, &rule).await.status, 201);
    let refused = server
        .post(
            SUBMIT,
            &server.submit,
            &json!({"source": {"method": "apt", "package": "bad"}, "suite": "bookworm"}),
        )
        .await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "blocked"));
    assert_eq!(refused.headers["content-type"], "application/json");
    let cancel = json!({"reason": canary});
    let job = server.source_job("hello").await.id;
    server.post(&format!("/api/v1/jobs/{job}/cancel"), &server.submit, &cancel).await;
    let page = server.get(&format!("/jobs/{job}")).await;
    let html = String::from_utf8_lossy(&page.bytes);
    assert!(html.contains("onerror") && !html.contains("<img"), "{html}");
    // (40) A pattern that other engines choke on matches in linear time.
    let slow = json!({"subject": "package", "pattern": "^(a+)+$", "reason": "x"});
    assert_eq!(server.post("/api/v1/rules", &server.admin, &slow).await.status, 201);
    let name = format!("{}b", "a".repeat(190));
    let submission = json!({"source": {"method": "apt", "package": name}, "suite": "bookworm"});
    assert_eq!(server.post(SUBMIT, &server.submit, &submission).await.status, 201);
}
