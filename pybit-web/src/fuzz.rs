//! Every reader of this crate that sees foreign bytes, as `make fuzz` calls it.

use pybit_core::model::NewSubmission;
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
