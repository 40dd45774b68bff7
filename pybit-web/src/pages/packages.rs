//! Packages and their newest versions.

use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, handler};
use pybit_core::Result;
use pybit_core::model::PackageName;
use serde::{Deserialize, Serialize};

use super::rows::PackageRow;
use super::{VERSION, page};
use crate::app::AppState;

/// Rows on one page.
const ROWS: u32 = 100;

/// The form's fields as they were typed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    search: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    after: String,
}

#[derive(Template)]
#[template(path = "packages.html")]
struct Packages {
    section: &'static str,
    version: &'static str,
    search: String,
    problem: Option<String>,
    rows: Vec<PackageRow>,
    next_page: Option<String>,
}

/// `GET /packages`
#[handler]
pub(crate) async fn show(state: Data<&AppState>, Query(fields): Query<Fields>) -> Response {
    page(read(&state, fields).await)
}

async fn read(state: &AppState, fields: Fields) -> Result<Packages> {
    let search: String = fields.search.trim().chars().take(100).collect();
    let after = if fields.after.is_empty() {
        Ok(None)
    } else {
        fields.after.parse::<PackageName>().map(Some)
    };
    let (found, problem) = match after {
        Ok(after) => {
            let needle = (!search.is_empty()).then_some(search.as_str());
            (state.farm.storage().packages(needle, after.as_ref(), ROWS).await?, None)
        }
        Err(error) => (Vec::new(), Some(error.message().to_owned())),
    };
    let full = found.len() >= ROWS as usize;
    let next = found.last().filter(|_| full).map(|last| {
        let fields = Fields { search: search.clone(), after: last.package.to_string() };
        format!("/packages?{}", serde_urlencoded::to_string(fields).unwrap_or_default())
    });
    let rows = found.iter().map(PackageRow::new).collect();
    Ok(Packages { section: "packages", version: VERSION, search, problem, rows, next_page: next })
}
