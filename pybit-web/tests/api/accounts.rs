//! Accounts, and what their passwords open.

use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{PasswordHash, Role};
use pybit_core::protocol::SubmissionReply;
use pybit_core::storage::NewAccount;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

const PASSWORD: &str = "correct: hörse";

async fn add(server: &Server, name: &str, role: &str) {
    let body = json!({"name": name, "role": role, "password": PASSWORD});
    let made = server.post("/api/v1/accounts", &server.admin, &body).await;
    assert_eq!(made.status, 201, "{}", made.json());
}

async fn hook(server: &Server, name: &str, password: &str) -> Answer {
    let request = server.request("POST", "/job/vcshook").basic_auth(name, Some(password));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let form = "method=apt&package=hello&suite=bookworm&architecture_list=any,all";
    server.send(request.body(form)).await
}

async fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/accounts{path}");
    server.send(server.request(method, &path).bearer_auth(&server.admin).json(body)).await
}

async fn change(server: &Server, method: &str, path: &str, body: &Value) {
    assert_eq!(ask(server, method, path, body).await.status, 204, "{method} {path}");
}

#[tokio::test]
async fn an_accounts_password_opens_the_originals_hook_in_its_name() {
    let server = Server::start().await;
    add(&server, "archive", "submit").await;
    for expected in [1, 2] {
        let answer = hook(&server, "archive", PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let reply: SubmissionReply = serde_json::from_slice(&answer.bytes).unwrap();
        assert_eq!(reply.submission.id.0, expected);
        assert_eq!(reply.submission.principal, "account archive");
    }
    // Files that dput sends are taken to where the upload is looked at.
    let put = server.request("PUT", "/dput/hello_1.dsc").basic_auth("archive", Some(PASSWORD));
    assert_ne!(server.send(put.body("x")).await.status, 401);
    // A browser keeps a password of HTTP Basic: nothing else takes one.
    for path in ["/api/v1/submissions", "/api/v1/accounts"] {
        let request = server.request("POST", path).basic_auth("archive", Some(PASSWORD));
        assert_eq!(server.send(request.json(&1)).await.status, 401, "{path}");
    }
    // A token works under any name, that of an account too.
    assert_eq!(hook(&server, "archive", &server.submit).await.status, 200);
}

#[tokio::test]
async fn whoever_may_not_is_refused_in_the_same_words_and_nothing_is_recorded() {
    let server = Server::start().await;
    for name in ["ann", "off", "late"] {
        add(&server, name, "submit").await;
    }
    add(&server, "depot", "publish").await;
    change(&server, "POST", "/off/disable", &Value::Null).await;
    let storage = server.farm.storage();
    let (_, hash) = storage.account(&"late".parse().unwrap()).await.unwrap().unwrap();
    storage.remove_account(&"late".parse().unwrap()).await.unwrap();
    let now = SystemClock.now();
    let ended = NewAccount {
        name: "late".parse().unwrap(),
        names: Vec::new(),
        role: Role::Submit,
        hash,
        expires_at: Some(now.plus(Duration::from_millis(1))),
    };
    storage.add_account(&ended, now).await.unwrap();
    crate::builds::wait(async || SystemClock.now() > now.plus(Duration::from_millis(1))).await;
    let words = hook(&server, "ann", "wrong horse").await;
    assert_eq!((words.status, words.code().as_str()), (401, "unauthenticated"));
    assert_eq!(words.headers["www-authenticate"], "Basic realm=\"pybit\"");
    for (name, password) in [
        ("ann", ""),
        ("Ann", PASSWORD),
        ("eve", PASSWORD),
        ("off", PASSWORD),
        ("late", PASSWORD),
        ("", PASSWORD),
        ("a/b", PASSWORD),
        ("ann", &"x".repeat(1025)),
        ("ann", &format!("{PASSWORD}{}", " ".repeat(1024))),
    ] {
        let answer = hook(&server, name, password).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, words.json()),
            "{name} {}",
            password.len()
        );
    }
    let denied = hook(&server, "depot", PASSWORD).await;
    assert_eq!((denied.status, denied.code().as_str()), (403, "denied"));
    assert!(denied.json()["error"]["message"].as_str().unwrap().contains("publish"));
    assert_eq!(server.get("/api/v1/jobs").await.bytes, "[]");
}

#[tokio::test]
async fn five_wrong_passwords_a_minute_are_answered_and_then_429() {
    let server = Server::start().await;
    add(&server, "ann", "submit").await;
    add(&server, "bob", "submit").await;
    for _ in 0..5 {
        assert_eq!(hook(&server, "ann", "wrong horse").await.status, 401);
    }
    for password in ["wrong horse", PASSWORD] {
        let answer = hook(&server, "ann", password).await;
        assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_tries"));
        let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=61).contains(&seconds), "{seconds}");
    }
    assert_eq!(hook(&server, "bob", PASSWORD).await.status, 200, "another account goes on");
    assert_eq!(hook(&server, "ann", &server.submit).await.status, 200, "and so does a token");
    let listed = server.get("/api/v1/jobs").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_flood_of_logins_is_answered_and_holds_up_nobody_else() {
    let server = std::sync::Arc::new(Server::start().await);
    add(&server, "ann", "submit").await;
    let flood = (0..50).map(|n| {
        let server = std::sync::Arc::clone(&server);
        tokio::spawn(async move { hook(&server, "ann", &format!("wrong horse {n}")).await.status })
    });
    let flood: Vec<_> = flood.collect();
    assert_eq!(server.get("/api/v1/jobs").await.status, 200);
    let mut answers = Vec::new();
    for answer in flood {
        answers.push(answer.await.unwrap());
    }
    let with = |status: u16| answers.iter().filter(|s| **s == status).count();
    assert!((1..=5).contains(&with(401)), "{answers:?}");
    assert_eq!(with(401) + with(429), 50, "{answers:?}");
}

#[tokio::test]
async fn many_right_passwords_at_once_are_all_let_in() {
    let server = std::sync::Arc::new(Server::start().await);
    add(&server, "ann", "submit").await;
    let hooks = (0..20).map(|_| {
        let server = std::sync::Arc::clone(&server);
        tokio::spawn(async move { hook(&server, "ann", PASSWORD).await.status })
    });
    for answer in hooks.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn what_is_changed_through_one_server_holds_on_the_others_at_once() {
    let one = Server::start().await;
    let other = one.beside().await;
    add(&one, "ann", "submit").await;
    let both = async |password: &str, status: u16| {
        for server in [&one, &other] {
            assert_eq!(hook(server, "ann", password).await.status, status, "{password}");
        }
    };
    both(PASSWORD, 200).await;
    change(&one, "PUT", "/ann/password", &json!({"password": "another horse"})).await;
    both(PASSWORD, 401).await;
    both("another horse", 200).await;
    change(&other, "POST", "/ann/disable", &Value::Null).await;
    both("another horse", 401).await;
    change(&one, "POST", "/ann/enable", &Value::Null).await;
    both("another horse", 200).await;
    change(&other, "DELETE", "/ann", &Value::Null).await;
    both("another horse", 401).await;
}

#[tokio::test]
async fn what_is_kept_in_an_older_way_is_kept_anew_by_the_first_login() {
    let server = Server::start().await;
    let params = Params::new(8192, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let old = argon2.hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16]).unwrap();
    let old: PasswordHash = old.to_string().parse().unwrap();
    let name = "ann".parse().unwrap();
    let new = NewAccount {
        name: "ann".parse().unwrap(),
        names: Vec::new(),
        role: Role::Submit,
        hash: old.clone(),
        expires_at: None,
    };
    let storage = server.farm.storage();
    let made = storage.add_account(&new, SystemClock.now()).await.unwrap();
    assert_eq!(hook(&server, "ann", "wrong horse").await.status, 401);
    assert_eq!(storage.account(&name).await.unwrap().unwrap().1, old);
    for _ in 0..2 {
        assert_eq!(hook(&server, "ann", PASSWORD).await.status, 200);
        let (account, hash) = storage.account(&name).await.unwrap().unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(account, made, "the password is as old as it was");
    }
}

#[tokio::test]
async fn accounts_are_administered_and_nothing_shows_a_password() {
    let server = Server::start().await;
    let body = json!({"name": "ann", "role": "admin", "password": PASSWORD, "expires_in_days": 30});
    let made = ask(&server, "POST", "", &body).await;
    assert_eq!(made.status, 201);
    let listed = ask(&server, "GET", "", &Value::Null).await;
    assert_eq!(listed.json(), json!([made.json()]));
    let mut keys: Vec<_> = listed.json()[0].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let expected = ["created_at", "disabled_at", "expires_at", "name", "password_at", "role"];
    assert_eq!(keys, expected);
    let again = ask(&server, "POST", "", &body).await;
    assert_eq!((again.status, again.code().as_str()), (409, "account_exists"));
    let with = |name: &str, value: Value| {
        let mut body = json!({"name": "bob", "role": "submit", "password": PASSWORD});
        body[name] = value;
        body
    };
    for (body, status, code) in [
        (with("name", json!("a/b")), 422, "invalid_account"),
        (with("role", json!("client")), 422, "invalid_grant"),
        (with("role", json!("king")), 400, "malformed_body"),
        (with("password", json!("short")), 422, "invalid_password"),
        (with("password", json!("x".repeat(1025))), 422, "invalid_password"),
        (with("password", json!("with\nline end")), 422, "invalid_password"),
        (with("password", json!(server.submit)), 422, "invalid_password"),
        (with("expires_in_days", json!(0)), 422, "invalid_expiry"),
        (with("hash", json!("$x")), 400, "malformed_body"),
    ] {
        let answer = ask(&server, "POST", "", &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
    let short = ask(&server, "PUT", "/ann/password", &json!({"password": "short"})).await;
    assert_eq!(short.code(), "invalid_password");
    for (method, path) in [
        ("POST", "/eve/disable"),
        ("POST", "/eve/enable"),
        ("DELETE", "/eve"),
        ("PUT", "/eve/password"),
    ] {
        let answer = ask(&server, method, path, &json!({"password": PASSWORD})).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_account"), "{path}");
    }
    assert_eq!(ask(&server, "GET", "", &Value::Null).await.json(), listed.json());
}
