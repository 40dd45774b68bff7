//! Jobs, filtered and paged.

use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, handler};
use pybit_core::Result;
use pybit_core::model::{JobFilter, JobId, JobStatus, Page};
use serde::{Deserialize, Serialize};

use super::rows::JobRow;
use super::{VERSION, page};
use crate::app::AppState;

/// Rows on one page.
const ROWS: u32 = 50;

/// The form's fields as they were typed; an empty one filters nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    status: String,
    package: String,
    suite: String,
    arch: String,
    client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    submission: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    before: String,
}

struct StatusChoice {
    name: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs {
    section: &'static str,
    version: &'static str,
    statuses: Vec<StatusChoice>,
    filter: Fields,
    filtered: bool,
    problem: Option<String>,
    rows: Vec<JobRow>,
    newest_page: Option<String>,
    older_page: Option<String>,
}

/// `GET /jobs`
#[handler]
pub(crate) async fn show(state: Data<&AppState>, Query(fields): Query<Fields>) -> Response {
    page(read(&state, fields).await)
}

async fn read(state: &AppState, fields: Fields) -> Result<Jobs> {
    let now = state.farm.clock().now();
    let (rows, problem) = match question(&fields) {
        Ok((filter, page)) => (state.farm.storage().jobs(&filter, &page).await?, None),
        Err(error) => (Vec::new(), Some(error.message().to_owned())),
    };
    let full = rows.len() == ROWS as usize;
    let older = rows.last().filter(|_| full).map(|j| j.id.to_string());
    let chosen = |status: JobStatus| status.as_str().eq_ignore_ascii_case(&fields.status);
    let filled = [
        &fields.status,
        &fields.package,
        &fields.suite,
        &fields.arch,
        &fields.client,
        &fields.submission,
    ];
    Ok(Jobs {
        section: "jobs",
        version: VERSION,
        statuses: JobStatus::ALL
            .map(|s| StatusChoice { name: s.as_str(), chosen: chosen(s) })
            .into(),
        filtered: filled.iter().any(|f| !f.is_empty()),
        problem,
        rows: rows.iter().map(|j| JobRow::new(j, now)).collect(),
        newest_page: (!fields.before.is_empty()).then(|| link(&fields, String::new())),
        older_page: older.map(|before| link(&fields, before)),
        filter: fields,
    })
}

fn question(fields: &Fields) -> Result<(JobFilter, Page)> {
    let filter = JobFilter {
        submission: some(&fields.submission)?,
        status: some(&fields.status)?,
        package: some(&fields.package)?,
        dist: None,
        suite: some(&fields.suite)?,
        arch: some(&fields.arch)?,
        client: some(&fields.client)?,
    };
    let before: Option<JobId> = some(&fields.before)?;
    Ok((filter, Page { before, limit: ROWS }))
}

fn some<T: std::str::FromStr<Err = pybit_core::Error>>(text: &str) -> Result<Option<T>> {
    let text = text.trim();
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

fn link(fields: &Fields, before: String) -> String {
    let fields = Fields { before, ..fields.clone() };
    format!("/jobs?{}", serde_urlencoded::to_string(fields).unwrap_or_default())
}
