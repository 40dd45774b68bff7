//! The original's hook.

use pybit_core::model::{JobKind, Source};
use pybit_core::protocol::SubmissionReply;

use crate::support::{Answer, Server};

/// Names and values.
type Fields = &'static [(&'static str, &'static str)];

/// What the original's Subversion hook sends.
const FIELDS: [(&str, &str); 9] = [
    ("uri", "https://svn.example.org/svn/hello/trunk"),
    ("method", "svn"),
    ("distribution", "debian"),
    ("vcs_id", "12"),
    ("architecture_list", "any,all"),
    ("package_version", "2.10-3"),
    ("package", "hello"),
    ("suite", "bookworm"),
    ("format", "deb"),
];

fn with(changed: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let new = |name| changed.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    FIELDS.iter().map(|(name, value)| (*name, new(*name).unwrap_or(value))).collect()
}

async fn hook(server: &Server, password: &str, fields: &[(&str, &str)]) -> Answer {
    let request = server.request("POST", "/job/vcshook").basic_auth("admin", Some(password));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    server.send(request.body(serde_urlencoded::to_string(fields).unwrap())).await
}

#[tokio::test]
async fn the_originals_fields_become_a_submission_once_for_each_revision() {
    let server = Server::start().await;
    let answer = hook(&server, &server.submit, &with(&[])).await;
    assert_eq!(answer.status, 200);
    let reply: SubmissionReply = serde_json::from_slice(&answer.bytes).unwrap();
    let url = "https://svn.example.org/svn/hello/trunk".to_owned();
    assert_eq!(reply.submission.request.source, Source::Svn { url, revision: Some(12) });
    assert_eq!(reply.submission.request.dist.unwrap().as_str(), "Debian");
    assert!(reply.submission.request.arches.is_empty());
    assert_eq!(reply.jobs.len(), 1);
    assert_eq!((reply.jobs[0].kind, reply.jobs[0].package.as_str()), (JobKind::Source, "hello"));
    let again = hook(&server, &server.submit, &with(&[])).await;
    let again: SubmissionReply = serde_json::from_slice(&again.bytes).unwrap();
    assert!(again.repeated);
    assert_eq!(again.submission.id, reply.submission.id);
    let next = hook(&server, &server.submit, &with(&[("vcs_id", "13")])).await;
    let next: SubmissionReply = serde_json::from_slice(&next.bytes).unwrap();
    assert!(!next.repeated);
}

#[tokio::test]
async fn every_method_and_architecture_list_is_read_as_the_original_did() {
    let server = Server::start().await;
    let cases: [(Fields, &str, &[&str]); 4] = [
        (
            &[("method", "git"), ("uri", "https://example.org/hello.git"), ("vcs_id", "v1")],
            "git+https://example.org/hello.git#v1",
            &[],
        ),
        (
            &[("method", "apt"), ("uri", ""), ("architecture_list", "amd64,arm64")],
            "apt:hello=2.10-3",
            &["amd64", "arm64"],
        ),
        (
            &[("method", "SVN"), ("vcs_id", "r7"), ("architecture_list", "linux-any")],
            "svn+https://svn.example.org/svn/hello/trunk@7",
            &[],
        ),
        (
            &[("vcs_id", ""), ("architecture_list", "amd64, all")],
            "svn+https://svn.example.org/svn/hello/trunk",
            &["amd64"],
        ),
    ];
    for (changed, source, arches) in cases {
        let answer = hook(&server, &server.admin, &with(changed)).await;
        let reply: SubmissionReply = serde_json::from_slice(&answer.bytes).unwrap();
        let request = reply.submission.request;
        assert_eq!(request.source.to_string(), source);
        let named: Vec<_> = request.arches.iter().map(ToString::to_string).collect();
        assert_eq!(named, arches, "{changed:?}");
    }
}

#[tokio::test]
async fn who_may_not_submit_and_what_cannot_be_read_is_refused_and_nothing_recorded() {
    let server = Server::start().await;
    let unknown = format!("pbt_{}", "0".repeat(64));
    for password in ["", "pass", unknown.as_str()] {
        let answer = hook(&server, password, &with(&[])).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"pybit\"");
    }
    assert_eq!(hook(&server, &server.client, &with(&[])).await.status, 403);
    let refused: [(Fields, u16, &str); 7] = [
        (&[("method", "dput")], 422, "unknown_method"),
        (&[("uri", "")], 422, "invalid_source_url"),
        (&[("uri", "svn://-oProxyCommand=id/x")], 422, "invalid_source_url"),
        (&[("vcs_id", "HEAD")], 422, "invalid_source_reference"),
        (&[("suite", "nowhere")], 422, "unknown_suite"),
        (&[("distribution", "Other")], 422, "unknown_dist"),
        (&[("architecture_list", "amd64,vax")], 422, "unknown_arch"),
    ];
    for (changed, status, code) in refused {
        let answer = hook(&server, &server.submit, &with(changed)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{changed:?}");
    }
    let twice = [&FIELDS[..], &[("suite", "trixie")]].concat();
    assert_eq!(hook(&server, &server.submit, &twice).await.status, 400);
    let request = server.request("POST", "/job/vcshook").basic_auth("a", Some(&server.submit));
    assert_eq!(server.send(request.json(&1)).await.status, 415);
    // A browser keeps a password of HTTP Basic: nothing but hooks takes one.
    let request =
        server.request("POST", "/api/v1/submissions").basic_auth("a", Some(&server.submit));
    assert_eq!(server.send(request.json(&1)).await.status, 401);
    assert_eq!(server.get("/api/v1/jobs").await.bytes, "[]");
}
