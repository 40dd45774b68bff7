//! `PUT /dput/{path}`: the HTTP target of `dput` and `dput-ng`.

use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::Stream;
use hyper::ext::ReasonPhrase;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use pybit_core::model::{FileName, SubmissionId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::body;
use crate::call::{Call, created};
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
    let mut body = pin!(call.stream()?);
    match receive(&call, body.as_mut()).await {
        Ok(response) => Ok(response),
        Err(refusal) => {
            // dput reads no answer before it has sent everything.
            body::drain(body).await;
            Ok(told(refusal))
        }
    }
}

/// A refusal as these tools understand it: its reason stands in the status line, too, as dput shows nothing else; and it is
/// never 403, after which dput-ng goes on with the next file and ends with success.
fn told(refusal: ApiError) -> Response {
    let reason = ReasonPhrase::try_from(refusal.message().as_bytes().to_vec());
    let mut response = refusal.into_response();
    if response.status() == StatusCode::FORBIDDEN {
        response.set_status(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if let Ok(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    response
}

async fn receive(
    call: &Call,
    body: Pin<&mut impl Stream<Item = std::io::Result<Bytes>>>,
) -> ApiResult<Response> {
    let name: FileName = call.name("path")?;
    let (state, who) = (&call.state, call.who()?);
    let staging = Staging::of(state, who);
    if !state.dput.is_description(&name)? {
        staging.take(&name, call.declared_length(), body).await?;
        let message = format!("{name} waits for its .changes");
        return created(&DputReply { submission: None, message });
    }
    let description = body::collect(body, LONGEST, 0).await?;
    let (upload, recorded) = arrived(state, &staging, &description).await?;
    let (id, jobs) = (recorded.submission.id, recorded.jobs.len());
    let message = format!(
        "{} {}, signed by {}, is submission {id} with {jobs} jobs",
        upload.package, upload.version, upload.signer,
    );
    tracing::info!(sender = who.name, "{message}");
    created(&DputReply { submission: Some(id), message })
}
