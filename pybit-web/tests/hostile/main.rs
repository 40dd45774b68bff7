//! What strangers send: each row names the item of the threat model's list (`docs/` of the design, "hostile inputs") that it
//! is. Whatever it is, the answer is the one named, never a 5xx, and nothing in the farm changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[expect(dead_code, reason = "the other test program uses the rest of it")]
#[path = "../support/mod.rs"]
mod support;
mod wire;

use serde_json::{Value, json};

use support::{Server, sha256};

/// Item, method, path, content type, body, expected status.
type Row = (u32, &'static str, &'static str, &'static str, Vec<u8>, u16);

const JSON: &str = "application/json";

fn submission(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut body = json!({"source": {"method": "apt", "package": "hello"}, "suite": "bookworm"});
    change(&mut body);
    body.to_string().into_bytes()
}

fn with(path: &'static str, value: impl Into<Value>) -> Vec<u8> {
    let value = value.into();
    submission(|body| *body.pointer_mut(path).unwrap() = value)
}

fn plus(key: &'static str, value: impl Into<Value>) -> Vec<u8> {
    let value = value.into();
    submission(|body| body[key] = value)
}

fn git(url: &str, reference: Option<&str>) -> Vec<u8> {
    submission(|body| {
        body["source"] = json!({"method": "git", "url": url, "reference": reference});
    })
}

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
async fn bodies() {
    let text = |s: &str| s.as_bytes().to_vec();
    let mut invalid_utf8 = text(r#"{"suite":""#);
    invalid_utf8.extend(b"\xff\"}");
    check(vec![
        (12, "POST", SUBMIT, "text/plain", submission(|_| {}), 415),
        (12, "POST", SUBMIT, "application/x-www-form-urlencoded", text("suite=bookworm"), 415),
        (12, "POST", SUBMIT, "multipart/form-data; boundary=x", text("--x--"), 415),
        (12, "POST", SUBMIT, "application/jsonx", submission(|_| {}), 415),
        (20, "POST", SUBMIT, JSON, Vec::new(), 400),
        (21, "POST", SUBMIT, JSON, text(r#"{"suite":"bookworm","source""#), 400),
        (21, "POST", SUBMIT, JSON, text(r#"{"suite":"bookworm"} {}"#), 400),
        (22, "POST", SUBMIT, JSON, text(r#"{"suite":"bookworm","priority":NaN}"#), 400),
        (22, "POST", SUBMIT, JSON, text(r#"{"suite":"bookworm","priority":1e999}"#), 400),
        (22, "POST", SUBMIT, JSON, plus("priority", 1.5), 400),
        (22, "POST", SUBMIT, JSON, submission(|b| b["source"] = json!({"method": "upload", "upload": u64::MAX, "main": "a.dsc"})), 400),
        (23, "POST", SUBMIT, JSON, text(r#"{"suite":"bookworm","suite":"trixie","source":{"method":"apt","package":"hello"}}"#), 400),
        (23, "POST", SUBMIT, JSON, text(r#"{"suite":"bookworm","source":{"method":"apt","package":"a","package":"hello"}}"#), 400),
        (24, "POST", SUBMIT, JSON, "[".repeat(100_000).into_bytes(), 400),
        (24, "POST", SUBMIT, JSON, r#"{"a":"#.repeat(100_000).into_bytes(), 400),
        (25, "POST", SUBMIT, JSON, vec![b' '; (1 << 20) + 1], 413),
        (28, "POST", SUBMIT, JSON, text(r#"{"suite":"\ud800"}"#), 400),
        (28, "POST", SUBMIT, JSON, invalid_utf8, 400),
        (28, "POST", SUBMIT, JSON, text(r#"{"suite":"book\u0000worm"}"#), 400),
        (28, "POST", SUBMIT, JSON, text("{\"suite\":\"book\0worm\"}"), 400),
        (30, "POST", SUBMIT, JSON, plus("admin", true), 400),
        (30, "POST", SUBMIT, JSON, submission(|b| b["source"]["shell"] = "id".into()), 400),
        (30, "POST", "/api/v1/uploads", JSON, json!({"files": [{"name": "a", "size": 1, "sha256": sha256(b""), "path": "/etc"}]}).to_string().into_bytes(), 400),
        (30, "POST", SUBMIT, JSON, text("null"), 400),
        (30, "POST", SUBMIT, JSON, text("[]"), 400),
        (30, "POST", SUBMIT, JSON, submission(|b| b["source"] = json!({"method": "ftp", "url": "x"})), 400),
    ])
    .await;
}

#[tokio::test]
async fn fields() {
    let mut rows: Vec<Row> = Vec::new();
    let package = "/source/package";
    let names = [
        (29, "p\u{430}ckage"),
        (29, "\u{202e}abc"),
        (29, "a\u{200b}b"),
        (31, "hello;id"),
        (31, "$(id)"),
        (31, "`id`"),
        (31, "a|tee"),
        (31, "a\nb"),
        (31, "a b"),
        (31, ""),
        (32, "-oDpkg::Pre-Invoke=id"),
        (33, "../../etc"),
        (33, "/etc/passwd"),
        (39, "<img src=x onerror=alert(1)>"),
        (39, "\u{1b}[31m"),
    ];
    for (item, name) in names {
        rows.push((item, "POST", SUBMIT, JSON, with(package, name), 422));
    }
    for version in ["1.0;id", "", ":", "-1", "1.0 2", "<b>"] {
        rows.push((
            34,
            "POST",
            SUBMIT,
            JSON,
            submission(|b| b["source"]["version"] = version.into()),
            422,
        ));
    }
    for arch in ["any;all", "any all", "", "-x", "a.b", "*"] {
        rows.push((36, "POST", SUBMIT, JSON, plus("arches", vec![arch]), 422));
    }
    let many: Vec<_> = (0..10_000).map(|n| format!("a{n}")).collect();
    rows.push((36, "POST", SUBMIT, JSON, plus("arches", many), 422));
    for suite in ["#", "*", "a.b", "", "../x", "sid/../x"] {
        rows.push((37, "POST", SUBMIT, JSON, with("/suite", suite), 422));
    }
    let huge = br#"{"source":{"method":"apt","package":"hello"},"suite":"bookworm","priority":18446744073709551616}"#;
    rows.push((38, "POST", SUBMIT, JSON, huge.to_vec(), 422));
    rows.push((38, "POST", SUBMIT, JSON, plus("priority", 1001), 422));
    rows.push((38, "POST", SUBMIT, JSON, plus("priority", i64::MAX), 422));
    let rule = |pattern: &str| {
        json!({"subject": "package", "pattern": pattern, "reason": "x"}).to_string().into_bytes()
    };
    for pattern in ["(", "", "(a{1000}){1000}", &"a".repeat(1 << 19)] {
        rows.push((40, "POST", "/api/v1/rules", JSON, rule(pattern), 422));
    }
    check(rows).await;
}

#[tokio::test]
async fn sources() {
    let mut rows: Vec<Row> = Vec::new();
    let urls = [
        (44, "ext::sh -c id"),
        (44, "EXT::id"),
        (44, "e\txt::id"),
        (45, "--upload-pack=id"),
        (45, "-u"),
        (48, "ssh://-oProxyCommand=id/x"),
        (48, "svn+ssh://-oProxyCommand=id/x"),
        (49, "/etc"),
        (49, "git@host:path"),
        (49, "file://host/x"),
        (50, "https://allowed.example@evil/x"),
        (50, "https://allowed.example\\@evil/x"),
        (51, "https://host/good/../../secret"),
        (51, "https://host/%2e%2e/secret"),
        (51, "https://host/%252e%252e/secret"),
        (54, "https://user:hunter2@host/x"),
        (54, "https://hunter2@host/x"),
    ];
    for (item, url) in urls {
        rows.push((item, "POST", SUBMIT, JSON, git(url, None), 422));
    }
    let references = [
        (46, "--upload-pack=id"),
        (46, "-h"),
        (46, "--orphan=x"),
        (47, "a..b"),
        (47, "@{-1}"),
        (47, "refs/heads/../x"),
        (47, "x.lock"),
        (47, "a b"),
        (47, ""),
    ];
    for (item, reference) in references {
        rows.push((
            item,
            "POST",
            SUBMIT,
            JSON,
            git("https://example.org/x.git", Some(reference)),
            422,
        ));
    }
    check(rows).await;
}

#[tokio::test]
async fn uploads() {
    let mut rows: Vec<Row> = Vec::new();
    let long = "x".repeat(256);
    let names = [
        "../x",
        "/abs",
        "a/b",
        ".",
        "..",
        "",
        &long,
        "a ",
        " a",
        ".htaccess",
        "CON",
        "-rf",
        "a\\b",
        "a\nb",
        "\u{202e}a",
    ];
    for name in names {
        let body = json!({"files": [{"name": name, "size": 1, "sha256": sha256(b"x")}]});
        rows.push((79, "POST", "/api/v1/uploads", JSON, body.to_string().into_bytes(), 422));
    }
    let nul = r#"{"files": [{"name": "a\u0000", "size": 1, "sha256": "x"}]}"#;
    rows.push((79, "POST", "/api/v1/uploads", JSON, nul.as_bytes().to_vec(), 400));
    for path in ["/api/v1/uploads/1/files/..%2fx?offset=0", "/api/v1/uploads/1/files/%00?offset=0"]
    {
        rows.push((79, "PATCH", path, "application/octet-stream", b"x".to_vec(), 404));
    }
    check(rows).await;
}

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
