//! The typed client of the HTTP API (`docs/api.md`): one method a route, each one request.
//!
//! | who asks | open |
//! |---|---|
//! | people's tools | `people.rs` |
//! | build clients | `builder.rs` |
//! | the watcher | `watcher.rs` |
//! | files that arrive in pieces, downloads | `transfer.rs` |
//! | a log as it grows | `follow.rs` |
//!
//! The token travels in the `Authorization` header and nowhere else.

mod builder;
mod error;
#[cfg(test)]
#[path = "tests.rs"]
mod fault_tests;
mod follow;
mod packages;
mod people;
mod sse;
mod transfer;
mod watcher;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use pybit_core::protocol::{CONTENT_DIGEST, content_digest, is_as_sent};
use pybit_core::{Error, ErrorKind, Result};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use url::Url;

pub use error::{ApiError, ApiResult};
pub use follow::{LogEvent, LogStream};
pub use transfer::Destination;

use crate::secret::Secret;

/// An ordinary request is answered within this.
const ANSWER: Duration = Duration::from_secs(30);
/// A stream that says nothing for this long is cut off; the server sends keep-alives more often.
const SILENCE: Duration = Duration::from_mins(1);
/// The longest error body that is read.
const LONGEST_ERROR: usize = 64 * 1024;

/// A farm's HTTP API. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Api {
    base: Url,
    token: Option<HeaderValue>,
    http: Client,
}

impl Api {
    /// The API of the farm at `url`, e.g. `http://127.0.0.1:8080`. Nothing is sent yet.
    ///
    /// Fails, `Invalid`, for a URL that is not `http:` or `https:` or that holds a user name or password, and for a token
    /// that cannot stand in a header.
    pub fn new(url: &str, token: Option<&Secret>) -> Result<Self> {
        let base = parse_base(url)?;
        let token = token.map(bearer).transpose()?;
        // Another part of the program may have chosen its provider already; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder()
            .user_agent(concat!("pybit/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| {
            Error::new(ErrorKind::Internal, "cannot set up the HTTP client").with_source(e)
        })?;
        Ok(Self { base, token, http })
    }

    /// The same farm asked with another token, over the same connections.
    pub fn with_token(&self, token: &Secret) -> Result<Self> {
        Ok(Self { token: Some(bearer(token)?), ..self.clone() })
    }

    /// The farm's address.
    pub fn url(&self) -> &Url {
        &self.base
    }

    /// A request to `/api/v1/` and `path`, each element one escaped segment.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.open(method, &[&["api", "v1"], path].concat()).timeout(ANSWER)
    }

    /// A request to a path from the server's root, without a limit on the whole answer's time.
    fn open(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.authorized(self.http.request(method, url))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    /// Sends a request; an answer other than 2xx is an error.
    async fn send(&self, request: RequestBuilder) -> ApiResult<Response> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|e| self.broken(&e))?;
        if let Some(body) = request.body().and_then(Body::as_bytes)
            && let Ok(digest) = HeaderValue::try_from(content_digest(body))
        {
            request.headers_mut().insert(CONTENT_DIGEST, digest);
        }
        let asked = format!("{} {}", request.method(), without_query(request.url()));
        let mut response = client.execute(request).await.map_err(|e| self.no_answer(e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_redirection() {
            let message =
                format!("{asked} was answered with a redirect; use the server's own address");
            return Err(ApiError::new(ErrorKind::Invalid, message));
        }
        let digest = response.headers().get(CONTENT_DIGEST).cloned();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ERROR {
                break;
            }
        }
        self.check(digest.as_ref(), &body)?;
        Err(ApiError::answered(status, &body, &asked))
    }

    /// Sends a request and reads the answer as JSON.
    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> ApiResult<T> {
        let body = self.bytes(request).await?;
        serde_json::from_slice(&body).map_err(|e| {
            // A proxy that lost the server may end an answer early as if that were its end.
            let (kind, why) = if e.is_eof() {
                (ErrorKind::Unavailable, "is cut off")
            } else {
                (ErrorKind::Corrupt, "cannot be read; are client and server of the same version?")
            };
            ApiError::new(kind, format!("the answer of {} {why}", self.shown())).with_source(e)
        })
    }

    /// Sends a request and leaves the answer's body unread.
    async fn done(&self, request: RequestBuilder) -> ApiResult<()> {
        self.send(request).await.map(|_| ())
    }

    async fn bytes(&self, request: RequestBuilder) -> ApiResult<Bytes> {
        let answer = self.send(request).await?;
        let digest = answer.headers().get(CONTENT_DIGEST).cloned();
        let body = answer.bytes().await.map_err(|e| self.no_answer(e))?;
        self.check(digest.as_ref(), &body)?;
        Ok(body)
    }

    /// An answer that is not the one that was sent is none.
    fn check(&self, digest: Option<&HeaderValue>, body: &[u8]) -> ApiResult<()> {
        if digest.is_none_or(|d| d.to_str().is_ok_and(|d| is_as_sent(d, body))) {
            return Ok(());
        }
        let message = format!("the answer of {} was damaged on its way", self.shown());
        Err(ApiError::new(ErrorKind::Unavailable, message))
    }

    fn shown(&self) -> String {
        format!("the server at {}", self.base.as_str().trim_end_matches('/'))
    }

    fn broken(&self, cause: &reqwest::Error) -> ApiError {
        let message = format!("the request to {} cannot be made: {cause}", self.shown());
        ApiError::new(ErrorKind::Malformed, message)
    }

    fn no_answer(&self, cause: reqwest::Error) -> ApiError {
        let why = if cause.is_timeout() {
            "did not answer in time"
        } else if cause.is_connect() {
            "cannot be reached; is it running, and is the address right?"
        } else {
            "ended the connection before its answer was complete"
        };
        let message = format!("{} {why}", self.shown());
        ApiError::new(ErrorKind::Unavailable, message).with_source(cause.without_url())
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("url", &self.base.as_str())
            .field("token", &self.token.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

pub(crate) fn parse_base(url: &str) -> Result<Url> {
    let refuse = |why: &str| {
        Error::invalid(format!("the server's address is refused: {why}"))
            .with_code("invalid_configuration")
    };
    let base = Url::parse(url).map_err(|_| refuse("it is not a URL such as http://host:8080"))?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(refuse("it must start with http:// or https://"));
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(refuse("it holds a user name or password; give the token apart from it"));
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(refuse("it holds a query or fragment"));
    }
    Ok(base)
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    let refuse = || {
        Error::invalid("the token is empty or holds characters that no token has")
            .with_code("invalid_configuration")
    };
    let text = token.expose();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| refuse())?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn without_query(url: &Url) -> Url {
    let mut shown = url.clone();
    shown.set_query(None);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown_and_an_address_never_holds_one() {
        let api = Api::new("http://127.0.0.1:1", Some(&Secret::new("pbt_hunter2"))).unwrap();
        assert!(!format!("{api:?}").contains("hunter2"));
        for url in ["http://u:hunter2@h", "ftp://h", "h:8080", "http://h?token=hunter2"] {
            let error = Api::new(url, None).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(Api::new("http://h", Some(&Secret::new("a\r\nb"))).is_err());
    }

    #[test]
    fn path_segments_are_escaped_below_the_servers_own_path() {
        let api = Api::new("http://h/pybit/", None).unwrap();
        let request = api.request(Method::GET, &["jobs", "../a b?"]).build().unwrap();
        assert_eq!(request.url().as_str(), "http://h/pybit/api/v1/jobs/..%2Fa%20b%3F");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_named_in_one_sentence() {
        let api = Api::new("http://127.0.0.1:1", Some(&Secret::new("pbt_hunter2"))).unwrap();
        let error = api.catalogue().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.is_transient());
        assert!(error.message.starts_with("the server at http://127.0.0.1:1 cannot be reached"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
