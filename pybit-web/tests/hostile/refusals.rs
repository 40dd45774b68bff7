//! Requests that are refused by what they hold: bodies, fields, sources, references and files.

use serde_json::{Value, json};

use crate::support::sha256;
use crate::{JSON, Row, SUBMIT, check};

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

/// Submissions whose bodies are these, each refused with the status.
async fn refused(rows: Vec<(u32, Vec<u8>, u16)>) {
    let row = |(item, body, status)| (item, "POST", SUBMIT, JSON, body, status);
    check(rows.into_iter().map(row).collect()).await;
}

#[tokio::test]
async fn a_submission_of_another_content_type_is_refused() {
    check(vec![
        (12, "POST", SUBMIT, "text/plain", submission(|_| {}), 415),
        (12, "POST", SUBMIT, "application/x-www-form-urlencoded", b"suite=bookworm".to_vec(), 415),
        (12, "POST", SUBMIT, "multipart/form-data; boundary=x", b"--x--".to_vec(), 415),
        (12, "POST", SUBMIT, "application/jsonx", submission(|_| {}), 415),
    ])
    .await;
}

#[tokio::test]
async fn a_body_that_is_empty_incomplete_or_followed_by_more_is_refused() {
    refused(vec![
        (20, Vec::new(), 400),
        (21, br#"{"suite":"bookworm","source""#.to_vec(), 400),
        (21, br#"{"suite":"bookworm"} {}"#.to_vec(), 400),
    ])
    .await;
}

#[tokio::test]
async fn a_number_that_json_or_its_field_does_not_have_is_refused() {
    let upload = json!({"method": "upload", "upload": u64::MAX, "main": "a.dsc"});
    refused(vec![
        (22, br#"{"suite":"bookworm","priority":NaN}"#.to_vec(), 400),
        (22, br#"{"suite":"bookworm","priority":1e999}"#.to_vec(), 400),
        (22, plus("priority", 1.5), 400),
        (22, submission(|b| b["source"] = upload), 400),
    ])
    .await;
}

#[tokio::test]
async fn a_key_given_twice_is_refused() {
    let source = r#""source":{"method":"apt","package":"hello"}"#;
    let twice = format!(r#"{{"suite":"bookworm","suite":"trixie",{source}}}"#);
    let within =
        r#"{"suite":"bookworm","source":{"method":"apt","package":"a","package":"hello"}}"#;
    refused(vec![(23, twice.into_bytes(), 400), (23, within.into(), 400)]).await;
}

#[tokio::test]
async fn a_hundred_thousand_nested_values_are_refused() {
    let lists = "[".repeat(100_000).into_bytes();
    refused(vec![(24, lists, 400), (24, r#"{"a":"#.repeat(100_000).into_bytes(), 400)]).await;
}

#[tokio::test]
async fn a_body_above_one_mebibyte_is_refused() {
    refused(vec![(25, vec![b' '; (1 << 20) + 1], 413)]).await;
}

#[tokio::test]
async fn text_that_is_not_unicode_or_holds_nul_is_refused() {
    let mut invalid_utf8 = br#"{"suite":""#.to_vec();
    invalid_utf8.extend(b"\xff\"}");
    refused(vec![
        (28, br#"{"suite":"\ud800"}"#.to_vec(), 400),
        (28, invalid_utf8, 400),
        (28, br#"{"suite":"book\u0000worm"}"#.to_vec(), 400),
        (28, b"{\"suite\":\"book\0worm\"}".to_vec(), 400),
    ])
    .await;
}

#[tokio::test]
async fn an_unknown_field_method_or_type_of_body_is_refused() {
    let path = json!({"files": [{"name": "a", "size": 1, "sha256": sha256(b""), "path": "/etc"}]});
    let body = path.to_string().into_bytes();
    let ftp = submission(|b| b["source"] = json!({"method": "ftp", "url": "x"}));
    check(vec![
        (30, "POST", SUBMIT, JSON, plus("admin", true), 400),
        (30, "POST", SUBMIT, JSON, submission(|b| b["source"]["shell"] = "id".into()), 400),
        (30, "POST", "/api/v1/uploads", JSON, body, 400),
        (30, "POST", SUBMIT, JSON, b"null".to_vec(), 400),
        (30, "POST", SUBMIT, JSON, b"[]".to_vec(), 400),
        (30, "POST", SUBMIT, JSON, ftp, 400),
    ])
    .await;
}

#[tokio::test]
async fn a_package_name_that_policy_does_not_allow_is_refused() {
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
    refused(names.map(|(item, name)| (item, with("/source/package", name), 422)).into()).await;
}

#[tokio::test]
async fn a_version_with_foreign_characters_is_refused() {
    let versions = ["1.0;id", "", ":", "-1", "1.0 2", "<b>"];
    let body = |v: &str| submission(|b| b["source"]["version"] = v.into());
    refused(versions.map(|version| (34, body(version), 422)).into()).await;
}

#[tokio::test]
async fn architectures_that_are_no_names_or_too_many_are_refused() {
    let names = ["any;all", "any all", "", "-x", "a.b", "*"];
    let mut rows: Vec<_> = names.map(|arch| (36, plus("arches", vec![arch]), 422)).into();
    let many: Vec<_> = (0..10_000).map(|n| format!("a{n}")).collect();
    rows.push((36, plus("arches", many), 422));
    refused(rows).await;
}

#[tokio::test]
async fn a_suite_that_is_no_name_is_refused() {
    let suites = ["#", "*", "a.b", "", "../x", "sid/../x"];
    refused(suites.map(|suite| (37, with("/suite", suite), 422)).into()).await;
}

#[tokio::test]
async fn a_priority_out_of_range_is_refused() {
    let huge = br#"{"source":{"method":"apt","package":"hello"},"suite":"bookworm","priority":18446744073709551616}"#;
    refused(vec![
        (38, huge.to_vec(), 422),
        (38, plus("priority", 1001), 422),
        (38, plus("priority", i64::MAX), 422),
    ])
    .await;
}

#[tokio::test]
async fn a_block_rule_whose_pattern_is_invalid_or_too_large_is_refused() {
    let rule = |pattern: &str| {
        json!({"subject": "package", "pattern": pattern, "reason": "x"}).to_string().into_bytes()
    };
    let patterns = ["(", "", "(a{1000}){1000}", &"a".repeat(1 << 19)];
    check(patterns.map(|p| (40, "POST", "/api/v1/rules", JSON, rule(p), 422)).into()).await;
}

/// Submissions from a git repository at each of these URLs are refused.
async fn refused_urls(urls: &[(u32, &str)]) {
    refused(urls.iter().map(|(item, url)| (*item, git(url, None), 422)).collect()).await;
}

#[tokio::test]
async fn a_transport_helper_of_git_is_no_url() {
    refused_urls(&[(44, "ext::sh -c id"), (44, "EXT::id"), (44, "e\txt::id")]).await;
}

#[tokio::test]
async fn a_url_that_git_or_ssh_would_read_as_an_option_is_refused() {
    refused_urls(&[
        (45, "--upload-pack=id"),
        (45, "-u"),
        (48, "ssh://-oProxyCommand=id/x"),
        (48, "svn+ssh://-oProxyCommand=id/x"),
    ])
    .await;
}

#[tokio::test]
async fn a_path_of_the_machine_and_an_address_as_scp_has_it_are_no_urls() {
    refused_urls(&[(49, "/etc"), (49, "git@host:path"), (49, "file://host/x")]).await;
}

#[tokio::test]
async fn a_url_whose_host_two_parsers_read_differently_is_refused() {
    refused_urls(&[
        (50, "https://allowed.example@evil/x"),
        (50, "https://allowed.example\\@evil/x"),
    ])
    .await;
}

#[tokio::test]
async fn a_url_whose_path_climbs_is_refused_however_it_is_encoded() {
    refused_urls(&[
        (51, "https://host/good/../../secret"),
        (51, "https://host/%2e%2e/secret"),
        (51, "https://host/%252e%252e/secret"),
    ])
    .await;
}

#[tokio::test]
async fn a_url_with_credentials_is_refused() {
    refused_urls(&[(54, "https://user:hunter2@host/x"), (54, "https://hunter2@host/x")]).await;
}

/// Submissions from a git repository at each of these references are refused.
async fn refused_references(references: &[(u32, &str)]) {
    let body = |reference| git("https://example.org/x.git", Some(reference));
    refused(references.iter().map(|(item, r)| (*item, body(*r), 422)).collect()).await;
}

#[tokio::test]
async fn a_reference_that_git_would_read_as_an_option_is_refused() {
    refused_references(&[(46, "--upload-pack=id"), (46, "-h"), (46, "--orphan=x")]).await;
}

#[tokio::test]
async fn a_reference_that_git_does_not_allow_is_refused() {
    refused_references(&[
        (47, "a..b"),
        (47, "@{-1}"),
        (47, "refs/heads/../x"),
        (47, "x.lock"),
        (47, "a b"),
        (47, ""),
    ])
    .await;
}

#[tokio::test]
async fn a_file_name_that_is_a_path_hidden_or_ambiguous_is_refused() {
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
    let body = |name: &str| {
        let files = json!({"files": [{"name": name, "size": 1, "sha256": sha256(b"x")}]});
        files.to_string().into_bytes()
    };
    let mut rows: Vec<Row> =
        names.map(|name| (79, "POST", "/api/v1/uploads", JSON, body(name), 422)).into();
    let nul = r#"{"files": [{"name": "a\u0000", "size": 1, "sha256": "x"}]}"#;
    rows.push((79, "POST", "/api/v1/uploads", JSON, nul.into(), 400));
    check(rows).await;
}

#[tokio::test]
async fn an_address_of_a_file_that_climbs_is_not_found() {
    let row = |path| (79, "PATCH", path, "application/octet-stream", b"x".to_vec(), 404);
    check(vec![
        row("/api/v1/uploads/1/files/..%2fx?offset=0"),
        row("/api/v1/uploads/1/files/%00?offset=0"),
    ])
    .await;
}
