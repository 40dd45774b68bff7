//! The farm at a glance.

use askama::Template;
use poem::web::Data;
use poem::{Response, handler};
use pybit_core::Result;
use pybit_core::model::{JobFilter, JobStatus, Page, Repository};

use super::rows::JobRow;
use super::{VERSION, page};
use crate::app::AppState;

struct Count {
    status: JobStatus,
    jobs: u64,
}

struct RepositoryRow {
    name: String,
    line: Option<String>,
    key_path: String,
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    section: &'static str,
    version: &'static str,
    counts: Vec<Count>,
    running: Vec<JobRow>,
    newest: Vec<JobRow>,
    repositories: Vec<RepositoryRow>,
    suite: String,
}

/// `GET /`
#[handler]
pub(crate) async fn show(state: Data<&AppState>) -> Response {
    page(read(&state).await)
}

async fn read(state: &AppState) -> Result<Dashboard> {
    let storage = state.farm.storage();
    let now = state.farm.clock().now();
    let counts = storage.counts().await?;
    let building = JobFilter { status: Some(JobStatus::Building), ..JobFilter::default() };
    let running = storage.jobs(&building, &Page::first(20)).await?;
    let newest = storage.jobs(&JobFilter::default(), &Page::first(20)).await?;
    let catalogue = storage.catalogue().await?;
    let suite = catalogue
        .targets
        .first()
        .map_or_else(|| "bookworm".to_owned(), |t| t.target.suite.to_string());
    Ok(Dashboard {
        section: "dashboard",
        version: VERSION,
        counts: JobStatus::ALL.map(|status| Count { status, jobs: counts.of(status) }).into(),
        running: running.iter().map(|j| JobRow::new(j, now)).collect(),
        newest: newest.iter().map(|j| JobRow::new(j, now)).collect(),
        repositories: catalogue.repositories.iter().map(repository).collect(),
        suite,
    })
}

/// The `sources.list` line of a repository whose watcher has told its address.
fn repository(repository: &Repository) -> RepositoryRow {
    let line = repository.url.as_ref().filter(|_| repository.format.as_str() == "deb");
    RepositoryRow {
        name: repository.name.to_string(),
        line: line.map(|url| {
            format!(
                "deb [signed-by=/etc/apt/keyrings/{}.asc] {url} {} main",
                repository.name, repository.suite
            )
        }),
        key_path: format!("/repositories/{}/pybit.asc", repository.name),
    }
}
