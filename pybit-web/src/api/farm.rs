//! The server itself: alive, ready, counted, described.

use std::time::Duration;

use poem::Response;
use poem::http::StatusCode;
use pybit_core::Result;
use serde::Serialize;

use crate::call::{Call, json, ok};
use crate::error::ApiResult;
use crate::openapi;
use crate::router;

/// The longest that storage, transport and blob store may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Whether each part answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    /// `ok` or `unavailable`.
    storage: &'static str,
    /// `ok` or `unavailable`.
    transport: &'static str,
    /// `ok` or `unavailable`: whether a small object can be written, read and removed.
    blobs: &'static str,
}

/// `GET /healthz`: the process is alive.
pub(crate) async fn alive(_call: Call) -> ApiResult<Response> {
    Ok(Response::builder().content_type("text/plain; charset=utf-8").body("ok\n"))
}

/// `GET /readyz`: 503 while storage, transport or blob store does not work; what is behind it stands in the log.
pub(crate) async fn ready(call: Call) -> ApiResult<Response> {
    let farm = &call.state.farm;
    let (storage, transport, blobs) = tokio::join!(
        answers("storage", farm.storage().health()),
        answers("transport", farm.transport().health()),
        answers("blobs", call.state.blobs.check())
    );
    let word = |ok| if ok { "ok" } else { "unavailable" };
    let ready = storage && transport && blobs;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (storage, transport, blobs) = (word(storage), word(transport), word(blobs));
    json(status, &Readiness { storage, transport, blobs })
}

async fn answers(what: &str, health: impl Future<Output = Result<()>>) -> bool {
    match tokio::time::timeout(ANSWER, health).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(what, ?error, "not ready");
            false
        }
        Err(_) => {
            tracing::warn!(what, "not ready: no answer in time");
            false
        }
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(call: Call) -> ApiResult<Response> {
    let counts = call.state.farm.storage().counts().await?;
    let foreign = call.state.farm.transport().foreign();
    let outrun = call.state.farm.outrun();
    let text = call.state.metrics.text(&counts, foreign, outrun)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(Response::builder().content_type(kind).body(text))
}

/// `GET /api/v1/openapi.json`
pub(crate) async fn description(_call: Call) -> ApiResult<Response> {
    ok(&openapi::document(&router::operations()))
}
