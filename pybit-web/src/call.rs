//! One request on its way through a handler, and the answers that handlers give.

use std::str::FromStr;

use bytes::Bytes;
use futures_util::Stream;
use poem::http::{HeaderMap, StatusCode};
use poem::{Request, Response};
use pybit_core::Error;
use pybit_core::model::{ClientName, Principal};
use pybit_core::protocol::{CONTENT_DIGEST, content_digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::AppState;
use crate::body;
use crate::error::{ApiError, ApiResult};

/// An admitted request: its caller may use the route.
#[derive(Debug)]
pub(crate) struct Call {
    /// The server.
    pub(crate) state: AppState,
    who: Option<Principal>,
    request: Request,
}

impl Call {
    pub(crate) fn new(state: AppState, who: Option<Principal>, request: Request) -> Self {
        Self { state, who, request }
    }

    /// The caller of a route that needs a token.
    pub(crate) fn who(&self) -> ApiResult<&Principal> {
        self.who.as_ref().ok_or_else(ApiError::unauthenticated)
    }

    /// The build client that the caller's token belongs to.
    pub(crate) fn client(&self) -> ApiResult<ClientName> {
        let client = self.who()?.grant.client.clone();
        client.ok_or_else(|| ApiError::denied("this token belongs to no build client"))
    }

    /// A number in the path; 400 where it is none.
    pub(crate) fn id<T: FromStr>(&self, name: &str) -> ApiResult<T> {
        let text = self.request.raw_path_param(name).unwrap_or_default();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let id = digits.then(|| text.parse().ok()).flatten();
        id.ok_or_else(|| ApiError::malformed("invalid_id", "the number in the address is none"))
    }

    /// A name in the path; 422 where it is none.
    pub(crate) fn name<T: FromStr<Err = Error>>(&self, name: &str) -> ApiResult<T> {
        Ok(self.request.raw_path_param(name).unwrap_or_default().parse()?)
    }

    /// The rest of the path.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.request.raw_path_param(name).unwrap_or_default()
    }

    /// The request's `Idempotency-Key`, where it has one.
    pub(crate) fn idempotency_key(&self) -> ApiResult<Option<String>> {
        let bad = |why| ApiError::malformed("invalid_idempotency_key", why);
        match self.headers("idempotency-key") {
            0 => return Ok(None),
            1 => {}
            _ => return Err(bad("there is more than one Idempotency-Key")),
        }
        let key = self.header("idempotency-key").unwrap_or_default();
        if (1..=200).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Ok(Some(key.to_owned()));
        }
        Err(bad("the Idempotency-Key must be 1 to 200 printable characters"))
    }

    /// A header's value, where it is printable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// Every value of a header, printable or not.
    pub(crate) fn headers(&self, name: &str) -> usize {
        self.request.headers().get_all(name).iter().count()
    }

    /// Every header.
    pub(crate) fn all_headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The query; 400 for an unknown parameter, one given twice, or a bad number.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> ApiResult<T> {
        let query = self.request.uri().query().unwrap_or_default();
        serde_urlencoded::from_str(query).map_err(|e| {
            ApiError::malformed("malformed_query", format!("the query cannot be read: {e}"))
        })
    }

    /// The JSON body.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> ApiResult<T> {
        body::json(&mut self.request).await
    }

    /// A long JSON body, of at most `most` bytes.
    pub(crate) async fn json_up_to<T: DeserializeOwned>(&mut self, most: usize) -> ApiResult<T> {
        body::json_up_to(&mut self.request, most).await
    }

    /// The JSON body, or the default where there is none.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> ApiResult<T> {
        if body::is_absent(self.request.headers()) { Ok(T::default()) } else { self.json().await }
    }

    /// The fields of a form.
    pub(crate) async fn form<T: DeserializeOwned>(&mut self) -> ApiResult<T> {
        body::form(&mut self.request).await
    }

    /// The length that the request declares.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        body::declared_length(self.request.headers())
    }

    /// The body as it arrives.
    pub(crate) fn stream(
        &mut self,
    ) -> ApiResult<impl Stream<Item = std::io::Result<Bytes>> + use<>> {
        body::stream(&mut self.request)
    }

    /// The body as it is, at most `most` bytes.
    pub(crate) async fn bytes(&mut self, most: usize) -> ApiResult<Bytes> {
        body::bytes(&mut self.request, most).await
    }
}

/// 200 with JSON.
pub(crate) fn ok(value: &impl Serialize) -> ApiResult<Response> {
    json(StatusCode::OK, value)
}

/// 201 with JSON.
pub(crate) fn created(value: &impl Serialize) -> ApiResult<Response> {
    json(StatusCode::CREATED, value)
}

/// 204.
pub(crate) fn nothing() -> Response {
    Response::builder().status(StatusCode::NO_CONTENT).finish()
}

/// An answer with JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> ApiResult<Response> {
    let body = serde_json::to_vec(value)
        .map_err(|e| Error::internal("an answer cannot be written").with_source(e))?;
    let digest = content_digest(&body);
    let answer = Response::builder().status(status).content_type("application/json");
    Ok(answer.header(CONTENT_DIGEST, digest).body(body))
}
