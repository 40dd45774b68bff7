//! Every reader of this crate that sees foreign bytes, as `make fuzz` calls it.

use pybit_core::model::{Catalogue, NewSubmission};
use pybit_core::protocol::{
    ClaimRequest, FailRequest, FinishRequest, HeartbeatRequest, Manifest, PublishedRequest,
    RejectedRequest,
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
