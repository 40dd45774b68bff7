//! Every reader of this crate that sees foreign bytes, as `make fuzz` calls it.

use std::net::{IpAddr, Ipv4Addr};

use poem::Request;
use poem::http::HeaderValue;
use pybit_core::model::{Catalogue, NewSubmission};
use pybit_core::protocol::{
    CONTENT_DIGEST, ClaimRequest, FailRequest, FinishRequest, HeartbeatRequest, Manifest,
    PublishedRequest, RejectedRequest, content_digest, is_as_sent,
};

use crate::hooks::{Push, Service};
use crate::json;

/// A service's delivery: its body as each of the services would have sent it.
pub fn webhook(bytes: &[u8]) {
    for service in [Service::Github, Service::Gitlab, Service::Gitea, Service::Forgejo] {
        // A refusal is an answer, too.
        let _ = Push::read(service, bytes);
    }
}

/// A request of a person's tool: what it names as the source is checked or refused.
pub fn submission(bytes: &[u8]) {
    if let Ok(request) = json::read::<NewSubmission>(bytes) {
        let _ = request.source.check();
        let _ = (request.source.to_string(), request.source.label());
    }
}

/// The original's form: what it asks for is checked or refused.
pub fn form(bytes: &[u8]) {
    crate::api::vcshook::fuzz_form(bytes);
}

/// A catalogue, as `pybit apply` sends it: one that is taken is no change to itself.
///
/// # Panics
///
/// Where it is one.
pub fn catalogue(bytes: &[u8]) {
    let Ok(catalogue) = json::read::<Catalogue>(bytes) else { return };
    if catalogue.check().is_ok() {
        assert_eq!(catalogue.changes_to(&catalogue), []);
    }
}

/// The headers that are read before anybody is known: a line each for who asks, for whom and with what digest, then the body.
///
/// # Panics
///
/// Where a body is not what its own digest says.
pub fn headers(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || HeaderValue::from_bytes(parts.next().unwrap_or_default());
    let lines = [line(), line(), line()];
    let body = parts.next().unwrap_or_default();
    let mut request = Request::builder().finish();
    let names = ["authorization", "x-forwarded-for", CONTENT_DIGEST];
    for (name, value) in names.into_iter().zip(lines) {
        if let Ok(value) = value {
            request.headers_mut().insert(name, value);
        }
    }
    crate::auth::fuzz_credentials(&request);
    let _ = crate::peer::address(&request, &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)]);
    let _ = request.header(CONTENT_DIGEST).map(|value| is_as_sent(value, body));
    assert!(is_as_sent(&content_digest(body), body));
}

/// A message of a build client or a watcher.
pub fn message(bytes: &[u8]) {
    let _ = json::read::<ClaimRequest>(bytes);
    let _ = json::read::<HeartbeatRequest>(bytes);
    let _ = json::read::<FinishRequest>(bytes);
    let _ = json::read::<FailRequest>(bytes);
    let _ = json::read::<Manifest>(bytes);
    let _ = json::read::<PublishedRequest>(bytes);
    let _ = json::read::<RejectedRequest>(bytes);
}
