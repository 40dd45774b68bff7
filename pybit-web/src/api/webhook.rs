//! `POST /hooks/{name}`: pushes that GitHub, GitLab, Gitea and Forgejo tell of.

use poem::Response;
use poem::http::StatusCode;
use pybit_core::ErrorKind;
use pybit_core::model::{Grant, Principal, Role, SubmissionId};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::call::{Call, ok};
use crate::error::{ApiError, ApiResult};
use crate::hooks::{Delivery, Hook, Push};

/// The longest delivery that is read, in bytes; GitHub sends at most 25 MiB, and of a push some KiB.
const LONGEST: usize = 4 << 20;

/// What a delivery led to.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct HookReply {
    /// The submissions, one for each rule that matched; none where no rule did, or it was no push.
    #[schema(value_type = Vec<i64>)]
    submissions: Vec<SubmissionId>,
    /// In words.
    message: String,
}

/// `POST /hooks/{name}`
pub(crate) async fn receive(mut call: Call) -> ApiResult<Response> {
    let name = call.text("name").to_owned();
    let body = call.bytes(LONGEST).await?;
    let hooks = std::sync::Arc::clone(&call.state.hooks);
    // A hook that is not there answers as one whose secret is another.
    let hook = hooks.find(&name).ok_or_else(unsigned)?;
    hook.verify(&Delivery { headers: call.all_headers(), body: &body }).map_err(|_| unsigned())?;
    let event = call.header(hook.event_header()).unwrap_or_default();
    if !hook.is_push(event) {
        return said("this is no push: nothing is built for it");
    }
    let Some(push) = Push::read(hook.service, &body)? else {
        return said("it pushes to no branch and no tag: nothing is built for it");
    };
    submit(&call, hook, &push, &hex::encode(Sha256::digest(&body))).await
}

/// Every rule's submission, under a key of the delivery's bytes: the same bytes again are a replay, unless the first time
/// broke off between two rules.
async fn submit(call: &Call, hook: &Hook, push: &Push, digest: &str) -> ApiResult<Response> {
    let who = Principal {
        name: format!("hook {}", hook.name),
        grant: Grant { names: hook.names.clone(), ..Grant::of(Role::Submit) },
    };
    let catalogue = call.state.farm.storage().catalogue().await?;
    let wanted = hook.wanted(push, &catalogue.hook_rules)?;
    let mut reply = HookReply::default();
    let mut repeated = 0;
    for (mark, request) in &wanted {
        let key = format!("hook:{mark}:{digest}");
        let recorded = call.state.farm.submit(&who, request.clone(), Some(&key), None).await?;
        repeated += usize::from(recorded.repeated);
        reply.submissions.push(recorded.submission.id);
    }
    if wanted.is_empty() {
        return said("no rule is for this push: nothing is built for it");
    }
    if repeated == wanted.len() {
        let message = "this delivery has been here before; what it asked for was submitted then";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "replayed", message));
    }
    reply.message = format!("{} submitted", reply.submissions.len());
    ok(&reply)
}

fn said(message: &str) -> ApiResult<Response> {
    ok(&HookReply { message: message.to_owned(), ..HookReply::default() })
}

fn unsigned() -> ApiError {
    let message = "the delivery is not signed with the secret of a hook of this name";
    ApiError::new(StatusCode::UNAUTHORIZED, ErrorKind::Unauthenticated.code(), message)
}
