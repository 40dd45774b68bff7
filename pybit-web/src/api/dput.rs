//! `PUT /dput/{path}`: the HTTP target of `dput` and `dput-ng`.

use hyper::ext::ReasonPhrase;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use pybit_core::model::{FileName, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::{Call, created, json};
use crate::dput::{Staging, arrived};
use crate::error::{ApiError, ApiResult};

/// The longest description that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// What a file led to.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct DputReply {
    /// The submission, once the description has arrived.
    #[schema(value_type = Option<i64>)]
    submission: Option<SubmissionId>,
    /// In words.
    message: String,
}

/// `PUT /dput/{path}`
pub(crate) async fn put(mut call: Call) -> ApiResult<Response> {
    match receive(&mut call).await {
        Ok(response) => Ok(response),
        Err(refusal) => {
            // dput reads no answer before it has sent everything.
            call.drain().await;
            Ok(told(refusal))
        }
    }
}

/// A refusal whose reason stands in the status line, too: dput shows nothing else.
fn told(refusal: ApiError) -> Response {
    let reason = ReasonPhrase::try_from(refusal.message().as_bytes().to_vec());
    let mut response = refusal.into_response();
    if let Ok(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

async fn receive(call: &mut Call) -> ApiResult<Response> {
    let name: FileName = call.name("path")?;
    let state = call.state.clone();
    let who = call.who()?.clone();
    let staging = Staging::of(&state, &who);
    if !state.dput.is_description(&name)? {
        let declared = call.declared_length();
        staging.take(&name, declared, call.stream()?).await?;
        let message = format!("{name} waits for its .changes");
        return created(&DputReply { submission: None, message });
    }
    let description = call.bytes(LONGEST).await?;
    let (upload, recorded) = arrived(&state, &staging, &description).await?;
    let id = recorded.submission.id;
    let message = format!(
        "{} {} of {} is submission {id} with {} jobs",
        upload.package,
        upload.version,
        upload.signer,
        recorded.jobs.len()
    );
    tracing::info!(submission = %id, signer = %upload.signer, sender = who.name, "{message}");
    json(StatusCode::CREATED, &DputReply { submission: Some(id), message })
}
