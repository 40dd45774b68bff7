//! Packages and their newest versions.

use poem::Response;
use pybit_core::model::{PackageName, RepositoryName};
use serde::Deserialize;

use super::{limit, usual_limit};
use crate::call::{Call, ok};
use crate::error::{ApiError, ApiResult};

/// Which packages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    search: Option<String>,
    after: Option<String>,
    #[serde(default = "usual_limit", deserialize_with = "limit")]
    limit: u32,
}

/// `GET /packages`
pub(crate) async fn list(call: Call) -> ApiResult<Response> {
    let filter: Filter = call.query()?;
    let after: Option<PackageName> = filter.after.map(|a| a.parse()).transpose()?;
    let search = filter.search.filter(|s| !s.is_empty());
    if search.as_ref().is_some_and(|s| s.len() > 200 || s.contains(char::is_control)) {
        let message = "the search must be at most 200 printable characters";
        return Err(ApiError::malformed("invalid_search", message));
    }
    let storage = call.state.farm.storage();
    ok(&storage.packages(search.as_deref(), after.as_ref(), filter.limit).await?)
}

/// Of which repository, and how much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    repository: Option<RepositoryName>,
    #[serde(default = "usual_limit", deserialize_with = "limit")]
    limit: u32,
}

/// `GET /packages/{name}/history`
pub(crate) async fn history(call: Call) -> ApiResult<Response> {
    let Part { repository, limit } = call.query()?;
    let package: PackageName = call.name("name")?;
    ok(&call.state.farm.package_history(&package, repository.as_ref(), limit).await?)
}
