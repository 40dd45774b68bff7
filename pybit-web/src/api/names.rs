//! Names of packages: those that a repository holds, their owners, their allowed moves.

use poem::Response;
use pybit_core::format::MAX_BINARIES;
use pybit_core::protocol::{NamesRequest, RepositoryPackages};
use pybit_core::{Error, Result};

use super::watcher::repository;
use crate::body;
use crate::call::{Call, nothing, ok};
use crate::error::ApiResult;

/// The longest name, version or architecture of a package, in bytes.
const MAX_TEXT: usize = 300;

/// `GET /repositories/{name}/packages`
pub(crate) async fn packages(call: Call) -> ApiResult<Response> {
    let repository = repository(&call).await?;
    let packages = call.state.farm.storage().published(&repository.name).await?;
    ok(&RepositoryPackages { packages })
}

/// `PUT /repositories/{name}/packages`
pub(crate) async fn put_packages(mut call: Call) -> ApiResult<Response> {
    let RepositoryPackages { packages } = call.json_up_to(body::LIST).await?;
    check_count("packages", packages.len(), RepositoryPackages::MAX_PACKAGES)?;
    for p in &packages {
        [&p.name, &p.version, &p.arch, &p.source].into_iter().try_for_each(|t| check_text(t))?;
    }
    let repository = repository(&call).await?;
    call.state.farm.storage().put_published(&repository.name, &packages).await?;
    Ok(nothing())
}

/// `POST /repositories/{name}/names`
pub(crate) async fn facts(mut call: Call) -> ApiResult<Response> {
    let NamesRequest { source, binaries } = call.json_up_to(body::LIST).await?;
    check_count("names", binaries.len(), MAX_BINARIES)?;
    binaries.iter().try_for_each(|name| check_text(name))?;
    let repository = repository(&call).await?;
    ok(&call.state.farm.name_facts(&repository, &source, &binaries).await?)
}

fn check_count(what: &str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    let message = format!("the list has {count} {what}; at most {most} are taken");
    Err(Error::invalid(message).with_code("too_many_names"))
}

fn check_text(text: &str) -> Result<()> {
    if !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control) {
        return Ok(());
    }
    let message = format!(
        "the name, version, architecture and source of a package must be 1 to {MAX_TEXT} bytes long, without control characters"
    );
    Err(Error::invalid(message).with_code("invalid_package"))
}
