//! Watchers: what to publish, and what became of it.

use std::time::Duration;

use poem::Response;
use pybit_core::model::{Health, JobId, Repository, RepositoryName};
use pybit_core::protocol::{PublishedRequest, RejectedRequest, RepositoryKey};
use pybit_core::{Error, Farm, Result};
use serde::Deserialize;

use super::changed;
use crate::call::{Call, nothing, ok};
use crate::error::ApiResult;

/// A held request asks again this often, for results that another server has taken.
const POLL: Duration = Duration::from_secs(3);
/// The longest public key that is taken, in bytes.
const LONGEST_KEY: usize = 64 << 10;

/// Which results are asked for, and how long the answer may be held.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    wait_ms: u32,
    after: Option<JobId>,
}

/// `GET /repositories/{name}/uploaded`: held until there is something, as long as the watcher wants.
pub(crate) async fn uploaded(call: Call) -> ApiResult<Response> {
    let Wanted { wait_ms, after } = call.query()?;
    let repository = repository(&call).await?;
    let farm = &call.state.farm;
    let mut results = farm.results();
    let deadline = tokio::time::Instant::now() + Farm::longest_wait(wait_ms);
    loop {
        results.borrow_and_update();
        let sets = farm.uploaded_sets(&repository, after).await?;
        if !sets.is_empty() || !changed(&call.state, results.changed(), deadline, POLL).await {
            return ok(&sets);
        }
    }
}

/// `PUT /repositories/{name}/key`
pub(crate) async fn put_key(mut call: Call) -> ApiResult<Response> {
    let RepositoryKey { public_key, url, health } = call.json().await?;
    check_key(&public_key)?;
    check_url(&url)?;
    let mut repository = repository(&call).await?;
    repository.public_key = Some(public_key);
    repository.url = Some(url);
    repository.health = health.map(shortened);
    // The catalogue says it, and what was read of that may lie a second back.
    repository.overlay = None;
    call.state.farm.storage().put_repository(&repository).await?;
    Ok(nothing())
}

/// `POST /jobs/{id}/published`
pub(crate) async fn published(mut call: Call) -> ApiResult<Response> {
    let request: PublishedRequest = call.json().await?;
    let id: JobId = call.id("id")?;
    let (farm, who) = (&call.state.farm, &call.who()?.name);
    ok(&farm.published(who, id, request.attempt, &request.snapshot).await?)
}

/// `POST /jobs/{id}/rejected`
pub(crate) async fn rejected(mut call: Call) -> ApiResult<Response> {
    let request: RejectedRequest = call.json().await?;
    let id: JobId = call.id("id")?;
    let (farm, who) = (&call.state.farm, &call.who()?.name);
    ok(&farm.rejected(who, id, request.attempt, &request.reason).await?)
}

/// The repository of the address, or `NotFound`.
pub(super) async fn repository(call: &Call) -> Result<Repository> {
    let text = call.text("name");
    let name: RepositoryName = text.parse()?;
    let catalogue = call.state.farm.storage().catalogue().await?;
    let found = catalogue.repositories.into_iter().find(|r| r.name == name);
    found.ok_or_else(|| {
        Error::not_found(format!("there is no repository {name}")).with_code("unknown_repository")
    })
}

/// Keeps a watcher's words within what is stored and shown.
fn shortened(mut health: Health) -> Health {
    health.trouble = health.trouble.map(|trouble| {
        let plain = trouble.chars().map(|c| if c.is_control() { ' ' } else { c });
        plain.take(Health::MAX_TROUBLE).collect()
    });
    health
}

/// Clients hand it to their package manager as a file: an armoured public key and nothing else.
fn check_key(key: &str) -> Result<()> {
    let text = key.trim();
    let armoured = text.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----")
        && text.ends_with("-----END PGP PUBLIC KEY BLOCK-----");
    let plain = key.chars().all(|c| c == '\n' || c == '\r' || (' '..='~').contains(&c));
    if armoured && plain && key.len() <= LONGEST_KEY {
        return Ok(());
    }
    let message = "the public key must be an armoured OpenPGP public key of at most 64 KiB";
    Err(Error::invalid(message).with_code("invalid_key"))
}

/// It stands in the sources of package managers, so it holds no blank and nothing that they would take for an option.
fn check_url(url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let good = |rest: &str| {
        let host = rest.split('/').next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%+".contains(c);
        !host.is_empty() && !host.starts_with('-') && rest.chars().all(plain)
    };
    if url.len() <= 1000 && rest.is_some_and(good) {
        return Ok(());
    }
    let message = "the repository's address must be an http:// or https:// address without user, query or blanks";
    Err(Error::invalid(message).with_code("invalid_url"))
}
