//! Who may do what.

use std::time::Duration;

use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{Grant, Role};
use pybit_core::storage::NewToken;
use serde_json::{Value, json};

use crate::support::{Server, sha256};

/// The routes as the server describes them: method, path with numbers and names filled in, roles that may use it.
async fn routes(server: &Server) -> Vec<(String, String, Vec<String>)> {
    let description = server.get("/api/v1/openapi.json").await.json();
    let mut routes = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.replace("{id}", "1").replace("{name}", "one").replace("{path}", "x");
            let roles = operation["description"].as_str().unwrap_or_default();
            let roles = roles.split(": ").nth(1).unwrap_or_default().trim_end_matches('.');
            let roles = roles.split(", ").filter(|r| !r.is_empty()).map(str::to_owned).collect();
            routes.push((method.to_uppercase(), path, roles));
        }
    }
    routes
}

#[tokio::test]
async fn every_write_needs_a_token_of_the_right_role() {
    let server = Server::start().await;
    let tokens = [
        ("admin", &server.admin),
        ("submit", &server.submit),
        ("client", &server.client),
        ("publish", &server.publish),
    ];
    let mut checked = 0;
    for (method, path, roles) in routes(&server).await {
        if roles.is_empty() {
            // What needs no token changes nothing, or needs a signature.
            if method != "GET" {
                let unsigned = server.send(server.request(&method, &path).json(&json!({}))).await;
                assert_eq!(unsigned.status, 401, "{path} changes something without a token");
            }
            continue;
        }
        // (1) No token; and one that nobody gave out.
        let none = server.send(server.request(&method, &path).json(&json!({}))).await;
        assert_eq!(
            (none.status, none.code().as_str()),
            (401, "unauthenticated"),
            "{method} {path}"
        );
        let unknown = format!("pbt_{}", "0".repeat(64));
        let unknown = server.send(server.request(&method, &path).bearer_auth(unknown)).await;
        assert_eq!((unknown.status, unknown.json()), (401, none.json()), "the same words");
        for (role, token) in tokens {
            let answer = server
                .send(server.request(&method, &path).bearer_auth(token).json(&json!({})))
                .await;
            // (2) A role that may not.
            let may = roles.iter().any(|r| r == role);
            assert_eq!(answer.status == 403, !may, "{method} {path} as {role}: {}", answer.status);
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
    assert_eq!(server.get("/api/v1/jobs").await.json(), json!([]));
}

#[tokio::test]
async fn tokens_that_are_over_say_no_more_than_unknown_ones() {
    let server = Server::start().await;
    let secret = format!("pbt_{}", "a".repeat(64));
    let now = SystemClock.now();
    let token = NewToken {
        name: "late".to_owned(),
        sha256: sha256(secret.as_bytes()),
        grant: Grant::of(Role::Admin),
        expires_at: Some(now.plus(Duration::from_millis(1))),
    };
    server.farm.storage().add_token(&token, now).await.unwrap();
    crate::builds::wait(async || SystemClock.now() > now.plus(Duration::from_millis(1))).await;
    let revoked =
        server.post("/api/v1/tokens", &server.admin, &json!({"name": "x", "role": "admin"})).await;
    assert_eq!(revoked.status, 201);
    let revoked = revoked.json();
    let path = format!("/api/v1/tokens/{}", revoked["token"]["id"]);
    assert_eq!(
        server.send(server.request("DELETE", &path).bearer_auth(&server.admin)).await.status,
        204
    );
    let ask = async |value: String| {
        let answer = server
            .send(server.request("GET", "/api/v1/tokens").header("Authorization", value))
            .await;
        assert_eq!(
            answer.headers.get("www-authenticate").map(reqwest::header::HeaderValue::as_bytes),
            Some(&b"Bearer"[..])
        );
        (answer.status, answer.json())
    };
    // (3, 6) Expired, revoked, malformed, far too long: one answer.
    let words = ask(format!("Bearer {secret}")).await;
    assert_eq!(words.0, 401);
    for value in [
        format!("Bearer {}", revoked["secret"].as_str().unwrap()),
        format!("Bearer pbt_{}", "f".repeat(10_240)),
        format!("Basic {secret}"),
        "Bearer".to_owned(),
        "Bearer \u{e9}".to_owned(),
    ] {
        assert_eq!(ask(value).await, words);
    }
}

#[tokio::test]
async fn a_token_travels_in_one_header_and_nowhere_else() {
    let server = Server::start().await;
    let admin = &server.admin;
    // (4)
    for query in [format!("token={admin}"), format!("x={admin}"), "access_token=x".to_owned()] {
        for path in ["/api/v1/tokens", "/api/v1/jobs", "/"] {
            let answer = server.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 401, "{path}?{query}");
            assert!(!String::from_utf8_lossy(&answer.bytes).contains(admin));
        }
    }
    // (5)
    let twice =
        server.request("GET", "/api/v1/tokens").bearer_auth(admin).bearer_auth(&server.submit);
    assert_eq!(server.send(twice).await.status, 400);
    // (15) A header that asks for another method is nothing.
    let disguised =
        server.request("GET", "/api/v1/rules/1").header("X-HTTP-Method-Override", "DELETE");
    assert_eq!(server.send(disguised.bearer_auth(admin)).await.status, 405);
}

#[tokio::test]
async fn a_new_token_works_and_its_secret_is_shown_once() {
    let server = Server::start().await;
    let body =
        json!({"name": "builder two", "role": "client", "client": "two", "expires_in_days": 30});
    let made = server.post("/api/v1/tokens", &server.admin, &body).await;
    assert_eq!(made.status, 201);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let claim = serde_json::to_value(crate::support::claim("two", "abcdefgh")).unwrap();
    assert_eq!(server.post("/api/v1/client/claim", &secret, &claim).await.status, 200);
    let list =
        server.send(server.request("GET", "/api/v1/tokens").bearer_auth(&server.admin)).await;
    assert!(!String::from_utf8_lossy(&list.bytes).contains(&secret));
    assert!(!String::from_utf8_lossy(&list.bytes).contains(&sha256(secret.as_bytes())));
    let bad: [Value; 6] = [
        json!({"name": "x", "role": "client"}),
        json!({"name": "x", "role": "submit", "client": "two"}),
        json!({"name": "", "role": "submit"}),
        json!({"name": "a\nb", "role": "submit"}),
        json!({"name": "account ann", "role": "submit"}),
        json!({"name": "x", "role": "submit", "expires_in_days": 0}),
    ];
    for body in bad {
        assert_eq!(server.post("/api/v1/tokens", &server.admin, &body).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn the_first_token_is_made_once_and_kept_from_others() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start().await;
    let storage = server.farm.storage().as_ref();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets/admin.token");
    let secret = pybit_web::ensure_admin_token(storage, &path).await.unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), secret);
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(pybit_web::ensure_admin_token(storage, &path).await.unwrap(), None);
    let list = server.send(server.request("GET", "/api/v1/tokens").bearer_auth(&secret)).await;
    assert_eq!((list.status, list.json().as_array().unwrap().len()), (200, 5), "known once");
    let grant = Grant::of(Role::Publish);
    let other = pybit_web::ensure_role_token(storage, &path, &grant).await.unwrap_err();
    assert_eq!(other.code(), "invalid_configuration");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = pybit_web::ensure_admin_token(storage, &path).await.unwrap_err();
    assert!(open.message().contains("chmod 600") && !open.message().contains(&secret));
}

#[tokio::test]
async fn a_grant_of_names_is_kept_with_a_token_and_an_account_of_the_role_submit_alone() {
    let server = Server::start().await;
    let names = json!([{"sources": "linux*", "suites": "bookworm"}]);
    let asked = json!({"name": "ci", "role": "submit", "names": names});
    let made = server.post("/api/v1/tokens", &server.admin, &asked).await;
    assert_eq!((made.status, &made.json()["token"]["grant"]["names"]), (201, &names));
    let asked = json!({"name": "ci", "role": "publish", "names": names});
    let refused = server.post("/api/v1/tokens", &server.admin, &asked).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (422, Some("invalid_grant"))
    );
    let asked = json!({"name": "ci", "role": "submit", "names": [{"sources": "a b"}]});
    assert_eq!(server.post("/api/v1/tokens", &server.admin, &asked).await.status / 100, 4);
    let asked =
        json!({"name": "ann", "role": "submit", "password": "correct horse", "names": names});
    let made = server.post("/api/v1/accounts", &server.admin, &asked).await;
    assert_eq!((made.status, &made.json()["names"]), (201, &names));
    assert_eq!(server.get("/api/v1/names").await.json(), json!([]), "this farm keeps no index");
}
