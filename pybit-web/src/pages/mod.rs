//! The pages: rendered on the server, readable without scripts, nothing from another host.

pub(crate) mod clients;
pub(crate) mod dashboard;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod packages;
mod rows;
pub(crate) mod text;

use askama::Template;
use poem::http::StatusCode;
use poem::web::Html;
use poem::{IntoResponse, Response};
use pybit_core::{Error, ErrorKind};

/// The program's version, in each page's foot.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem {
    section: &'static str,
    version: &'static str,
    heading: &'static str,
    message: String,
}

/// A rendered page, or a page that says what went wrong.
fn page(rendered: pybit_core::Result<impl Template>) -> Response {
    match rendered.and_then(|template| render(&template)) {
        Ok(response) => response,
        Err(error) => problem(&error),
    }
}

fn render(template: &impl Template) -> pybit_core::Result<Response> {
    let html = template
        .render()
        .map_err(|e| Error::internal("a page cannot be rendered").with_source(e))?;
    Ok(Html(html).into_response())
}

/// What went wrong, in words; the text of a defect stays in the log.
fn problem(error: &Error) -> Response {
    let (status, heading) = match error.kind() {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        ErrorKind::Malformed | ErrorKind::Invalid => {
            (StatusCode::BAD_REQUEST, "That cannot be shown")
        }
        kind if kind.is_retryable() => (StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong"),
    };
    let message = if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(error = ?error, "a page failed");
        "The server's log says what.".to_owned()
    } else {
        error.message().to_owned()
    };
    let problem = Problem { section: "", version: VERSION, heading, message };
    let html = problem.render().unwrap_or_default();
    Html(html).with_status(status).into_response()
}
