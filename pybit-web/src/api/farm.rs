//! The server itself: alive, ready, counted, described.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poem::Response;
use poem::http::StatusCode;
use pybit_core::{Farm, Result};
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
    /// Warnings for an operator: keys and indices of repositories that end soon, or were not renewed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The age of the oldest index of a base distribution's names, in seconds; nothing where a suite has none yet, or the farm keeps none.
    /// It does not count for the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_index_age_secs: Option<u64>,
}

/// `GET /healthz`: the process is alive.
pub(crate) async fn alive(_call: Call) -> ApiResult<Response> {
    Ok(Response::builder().content_type("text/plain; charset=utf-8").body("ok\n"))
}

/// What does not work, as far as the log knows: it tells of each change once, however often it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Away {
    storage: AtomicBool,
    transport: AtomicBool,
    blobs: AtomicBool,
}

/// `GET /readyz`: 503 while storage, transport or blob store does not work; what is behind it stands in the log.
pub(crate) async fn ready(call: Call) -> ApiResult<Response> {
    let (farm, away) = (&call.state.farm, &call.state.away);
    let (storage, transport, blobs) = tokio::join!(
        answers("storage", &away.storage, farm.storage().health()),
        answers("transport", &away.transport, farm.transport().health()),
        answers("blobs", &away.blobs, call.state.blobs.check())
    );
    let word = |ok| if ok { "ok" } else { "unavailable" };
    let ready = storage && transport && blobs;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (storage, transport, blobs) = (word(storage), word(transport), word(blobs));
    let base_index_age_secs = oldest_index(farm);
    let warnings = if ready { warnings(&call).await } else { Vec::new() };
    json(status, &Readiness { storage, transport, blobs, warnings, base_index_age_secs })
}

fn oldest_index(farm: &Farm) -> Option<u64> {
    let indices = farm.base()?.status();
    let ages =
        indices.iter().map(|index| Some(farm.clock().now().since(index.fetched_at?).as_secs()));
    ages.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// `GET /api/v1/names`: the indices of the base distributions' names.
pub(crate) async fn names(call: Call) -> ApiResult<Response> {
    ok(&call.state.farm.base().map(|index| index.status()).unwrap_or_default())
}

/// The warnings of the repositories' watchers.
async fn warnings(call: &Call) -> Vec<String> {
    let farm = &call.state.farm;
    let catalogue = tokio::time::timeout(ANSWER, farm.storage().catalogue()).await;
    let Ok(Ok(catalogue)) = catalogue else { return Vec::new() };
    let now = farm.clock().now();
    let told = catalogue.repositories.iter().filter_map(|r| Some((r, r.health.as_ref()?)));
    told.flat_map(|(r, health)| health.warnings(r.name.as_str(), now)).collect()
}

async fn answers(what: &str, away: &AtomicBool, health: impl Future<Output = Result<()>>) -> bool {
    let why = match tokio::time::timeout(ANSWER, health).await {
        Ok(Ok(())) => {
            if away.swap(false, Ordering::Relaxed) {
                tracing::info!(what, "ready again");
            }
            return true;
        }
        Ok(Err(error)) => format!("{error:?}"),
        Err(_) => "no answer in time".to_owned(),
    };
    if away.swap(true, Ordering::Relaxed) {
        tracing::debug!(what, "still not ready: {why}");
    } else {
        tracing::warn!(what, "not ready: {why}");
    }
    false
}

/// `GET /metrics`
pub(crate) async fn metrics(call: Call) -> ApiResult<Response> {
    let counts = call.state.farm.storage().counts().await?;
    let foreign = call.state.farm.transport().foreign();
    let outrun = call.state.farm.outrun();
    let repositories = call.state.farm.storage().catalogue().await?.repositories;
    call.state.metrics.tell_repositories(&repositories, call.state.farm.clock().now());
    if let Some(index) = call.state.farm.base() {
        call.state.metrics.base(&index.status(), call.state.farm.clock().now());
    }
    let text = call.state.metrics.text(&counts, foreign, outrun)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(Response::builder().content_type(kind).body(text))
}

/// `GET /api/v1/openapi.json`
pub(crate) async fn description(_call: Call) -> ApiResult<Response> {
    ok(&openapi::document(&router::operations()))
}
