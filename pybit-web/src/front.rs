//! What happens to every request, whatever its route: an id, a line in the log, counters, and headers that keep browsers
//! from running what was not meant to run.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use poem::http::header::{self, HeaderName, HeaderValue};
use poem::http::{HeaderMap, StatusCode};
use poem::{Endpoint, IntoResponse, Request, Response};
use pybit_core::Error;
use tracing::Instrument;

use crate::app::AppState;
use crate::auth;
use crate::error::{ApiError, from_poem};

/// Scripts and styles come from this server's own files alone; nobody may frame a page.
const POLICY: &str = "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// The route and caller of an answer, for the log and the counters.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// The route's pattern.
    pub(crate) route: &'static str,
    /// The token's name.
    pub(crate) who: Option<String>,
}

/// Every request passes through this one.
pub(crate) struct Front<E> {
    pub(crate) state: AppState,
    pub(crate) inner: E,
}

impl<E: Endpoint> Endpoint for Front<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = self.state.farm.clock().instant();
        let id = hex::encode(rand::random::<[u8; 8]>());
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let span = tracing::info_span!("request", id);
        let mut response = self.answer(request).instrument(span.clone()).await;
        let served = response.extensions_mut().remove::<Served>();
        let (route, who) = served.map_or(("other", None), |s| (s.route, s.who));
        let took = self.state.farm.clock().instant().duration_since(started);
        let status = response.status().as_u16();
        self.state.metrics.answered(&method, route, status, took);
        span.in_scope(|| {
            let who = who.unwrap_or_default();
            tracing::info!(%method, ?path, status, who, ms = took.as_millis(), "answered");
        });
        protect(response.headers_mut(), &id);
        if chunked {
            // A request that also claims a length may hide a second one behind it (RFC 9112, 6.3).
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

impl<E: Endpoint> Front<E> {
    async fn answer(&self, request: Request) -> Response {
        if let Err(refusal) = auth::refuse_misplaced(&request) {
            return refusal.into_response();
        }
        match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(output)) => output.into_response(),
            Ok(Err(error)) if error.is_from_response() => error.into_response(),
            Ok(Err(error)) => from_poem(&error).into_response(),
            Err(_) => ApiError::from(Error::internal("a handler panicked")).into_response(),
        }
    }
}

fn protect(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let usual = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in usual {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// An answer that a browser shows or saves, and never runs.
pub(crate) fn inert(response: &mut Response) {
    let policy = HeaderValue::from_static("default-src 'none'; sandbox");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
}

/// Whether the answer to a conditional request is "as you have it".
pub(crate) fn is_unchanged(sent: Option<&str>, tag: &str) -> bool {
    sent.is_some_and(|tags| tags.split(',').any(|t| t.trim() == tag || t.trim() == "*"))
}

/// 304.
pub(crate) fn unchanged() -> Response {
    Response::builder().status(StatusCode::NOT_MODIFIED).finish()
}
