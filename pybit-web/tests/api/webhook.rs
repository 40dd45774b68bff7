//! Pushes that services tell of.

use std::os::unix::fs::PermissionsExt;

use hmac::{Hmac, KeyInit, Mac};
use pybit_core::Policy;
use pybit_web::WebConfig;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Answer, Server};

const SECRET: &str = "a secret that both sides know";
const COMMIT: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

/// A server with the hooks `hub` (GitHub) and `lab` (GitLab), both with a rule for branches and one for tags.
async fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let rules = json!([
        {"repository": "joe/*", "branch": "debian/*", "suite": "bookworm", "arches": ["amd64"]},
        {"repository": "joe/*", "tag": "v*", "suite": "trixie", "priority": 5},
        {"repository": "joe/*", "tag": "v1*", "suite": "bookworm"},
    ]);
    let hooks = json!({"hooks": [
        {"name": "hub", "service": "github", "secret_file": file, "rules": rules},
        {"name": "lab", "service": "gitlab", "secret_file": file, "rules": rules},
    ]});
    let config: WebConfig = serde_json::from_value(hooks).unwrap();
    let blobs = dir.path().join("blobs");
    Server::start_as(dir, blobs, Policy::default(), config).await
}

fn push(reference: &str) -> Value {
    json!({
        "ref": reference, "after": COMMIT, "head_commit": {"id": COMMIT},
        "repository": {"full_name": "joe/hello", "clone_url": "https://example.org/joe/hello.git"},
    })
}

fn signed(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

async fn deliver(server: &Server, hook: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = server.request("POST", &format!("/hooks/{hook}")).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.header("content-type", "application/json")).await
}

async fn hub(server: &Server, event: &str, body: &str) -> Answer {
    let signature = signed(body);
    deliver(server, "hub", &[("x-hub-signature-256", &signature), ("x-github-event", event)], body)
        .await
}

#[tokio::test]
async fn a_push_becomes_a_submission_for_each_rule_that_matches() {
    let server = server().await;
    let answer = hub(&server, "push", &push("refs/heads/debian/main").to_string()).await;
    assert_eq!((answer.status, answer.json()["submissions"].as_array().unwrap().len()), (200, 1));
    let id = answer.json()["submissions"][0].clone();
    let shown = server.get(&format!("/api/v1/submissions/{id}")).await.json();
    let submission = &shown["submission"];
    let source =
        json!({"method": "git", "url": "https://example.org/joe/hello.git", "reference": COMMIT});
    assert_eq!(submission["request"]["source"], source);
    assert_eq!(submission["request"]["suite"], "bookworm");
    assert_eq!(submission["principal"], "hook hub");
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 1);
    let tagged = hub(&server, "push", &push("refs/tags/v1.0").to_string()).await.json();
    assert_eq!(tagged["submissions"].as_array().unwrap().len(), 2);
    for unbuilt in [push("refs/heads/main"), push("refs/tags/x")] {
        let answer = hub(&server, "push", &unbuilt.to_string()).await;
        assert_eq!((answer.status, answer.json()["submissions"].clone()), (200, json!([])));
    }
    let ping = hub(&server, "ping", r#"{"zen": "x"}"#).await;
    assert_eq!((ping.status, ping.json()["submissions"].clone()), (200, json!([])));
    let lab = json!({
        "ref": "refs/tags/v2", "after": COMMIT, "checkout_sha": COMMIT,
        "project": {"path_with_namespace": "joe/x", "git_http_url": "https://example.org/joe/x.git"},
    });
    let headers = [("x-gitlab-token", SECRET), ("x-gitlab-event", "Tag Push Hook")];
    let answer = deliver(&server, "lab", &headers, &lab.to_string()).await;
    assert_eq!(answer.json()["submissions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_catalogue_has_rules_for_hooks_too() {
    let server = server().await;
    let mut catalogue = server.get("/api/v1/catalogue").await.json();
    let rule = json!({"repository": "joe/*", "branch": "release/*", "suite": "trixie"});
    catalogue["hook_rules"] = json!([{"hook": "hub", "rule": rule}, {"hook": "lab", "rule": rule}]);
    let put = async |body: &Value, token: &str| {
        let request = server.request("PUT", "/api/v1/catalogue").body(body.to_string());
        let request = request.header("content-type", "application/json").bearer_auth(token);
        server.send(request).await
    };
    assert_eq!(put(&catalogue, &server.submit).await.status, 403);
    let answer = put(&catalogue, &server.admin).await;
    assert_eq!((answer.status, answer.json()["changes"].as_array().unwrap().len()), (200, 2));
    let body = push("refs/heads/release/1").to_string();
    let answer = hub(&server, "push", &body).await.json();
    assert_eq!(answer["submissions"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(hub(&server, "push", &body).await.code(), "replayed");
    catalogue["hook_rules"][0]["rule"]["branch"] = json!("***");
    let refused = put(&catalogue, &server.admin).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "invalid_configuration"));
}

#[tokio::test]
async fn an_unsigned_wrongly_signed_or_replayed_delivery_is_refused_and_nothing_recorded() {
    let server = server().await;
    let body = push("refs/heads/debian/main").to_string();
    let (good, other) = (signed(&body), signed("{}"));
    let event = ("x-github-event", "push");
    let refused: [&[(&str, &str)]; 4] = [
        &[event],
        &[event, ("x-hub-signature-256", &other)],
        &[event, ("x-hub-signature-256", &good[..good.len() - 2])],
        &[event, ("x-gitlab-token", SECRET)],
    ];
    for headers in refused {
        assert_eq!(deliver(&server, "hub", headers, &body).await.status, 401, "{headers:?}");
    }
    let signature = [event, ("x-hub-signature-256", good.as_str())];
    assert_eq!(deliver(&server, "nobody", &signature, &body).await.status, 401);
    assert_eq!(server.get("/api/v1/jobs").await.bytes, "[]");
    assert_eq!(hub(&server, "push", &body).await.status, 200);
    let replayed = hub(&server, "push", &body).await;
    assert_eq!((replayed.status, replayed.code().as_str()), (401, "replayed"));
    assert_eq!(server.get("/api/v1/jobs").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_header_says_is_refused() {
    let server = server().await;
    for body in ["", "{", "[]", "{}", r#"{"ref": 7}"#] {
        let answer = hub(&server, "push", body).await;
        assert_eq!(answer.status, 400, "{body}: {:?}", answer.json());
    }
    // What a rule would build from is checked as every submission is.
    let mut hostile = push("refs/heads/debian/x");
    hostile["repository"]["clone_url"] = json!("ext::sh -c id");
    let answer = hub(&server, "push", &hostile.to_string()).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_source_url"));
    let long = format!("{{\"ref\": \"{}\"}}", "a".repeat(5 << 20));
    assert_eq!(hub(&server, "push", &long).await.status, 413);
    assert_eq!(server.get("/api/v1/jobs").await.bytes, "[]");
}
