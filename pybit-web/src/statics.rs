//! The pages' own style, script and icon, built into the program.

use poem::http::{StatusCode, header};
use poem::web::Path;
use poem::{IntoResponse, Request, Response, handler};
use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::front;

/// Name, media type, content.
const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("../static/style.css")),
    ("log.js", "text/javascript; charset=utf-8", include_str!("../static/log.js")),
    ("icon.svg", "image/svg+xml", include_str!("../static/icon.svg")),
];

/// `GET /static/{name}`
#[handler]
pub(crate) fn file(Path(name): Path<String>, request: &Request) -> Response {
    let Some((_, media, content)) = FILES.iter().find(|(known, ..)| *known == name) else {
        let error = ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such file");
        return error.into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(content)[..8]));
    if front::is_unchanged(request.header("if-none-match"), &tag) {
        return front::unchanged();
    }
    Response::builder()
        .content_type(media)
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, "no-cache")
        .body(*content)
}
