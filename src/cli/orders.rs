//! Orders to the watchers of repositories: which repository, recorded once, awaited.

use pybit_core::model::{
    Catalogue, Dist, FormatName, OrderState, PackageOrder, RepositoryName, Suite,
};
use pybit_core::protocol::NewPackageOrder;
use pybit_core::{Error, Result};

use super::context::{Context, fresh_key, patiently, soon};
use super::output;

/// The repository of a suite.
#[derive(Debug, clap::Args)]
pub(super) struct OfSuite {
    /// The repository of this suite
    #[arg(long, conflicts_with = "repository")]
    pub(super) suite: Option<Suite>,
    /// The suite's distribution, where several have a suite of that name
    #[arg(long, requires = "suite")]
    dist: Option<Dist>,
    /// The package format, where the suite has several
    #[arg(long, requires = "suite")]
    format: Option<FormatName>,
}

/// The longest time that the server may hold a request for an order, in milliseconds.
const WAIT_MS: u32 = 25_000;

/// The order on record. Its key makes asking again harmless, so a lost answer is asked for again.
pub(super) async fn recorded(
    repository: &RepositoryName,
    request: &NewPackageOrder,
    context: &Context,
) -> Result<PackageOrder> {
    let key = fresh_key();
    let ask = async || context.api.order_packages(repository, request, Some(&key)).await;
    patiently(soon(), ask).await
}

/// The order when it has ended; a failed one is an error.
pub(super) async fn ended(order: &PackageOrder, context: &Context) -> Result<PackageOrder> {
    let repository = &order.repository;
    let mut told = false;
    loop {
        let ask = async || context.api.package_order(repository, order.id, WAIT_MS).await;
        let now = patiently(soon(), ask).await?;
        match now.state {
            OrderState::Done => return Ok(now),
            OrderState::Failed => {
                let why = now.message.unwrap_or_default();
                return Err(Error::invalid(format!(
                    "the watcher of repository {repository} cannot carry out order {}: {why}",
                    order.id
                )));
            }
            OrderState::Pending | OrderState::Started if !told => {
                output::note(format!(
                    "Order {} waits for the watcher of repository {repository}; interrupting this command does not take it back.",
                    order.id
                ));
                told = true;
            }
            OrderState::Pending | OrderState::Started => {}
        }
    }
}

/// The repository that was named, that of the suite, or the only one.
pub(super) async fn resolve(
    named: Option<RepositoryName>,
    of: &OfSuite,
    context: &Context,
) -> Result<RepositoryName> {
    if let Some(named) = named {
        return Ok(named);
    }
    let Catalogue { repositories, .. } = context.api.catalogue().await?;
    let mut found = repositories.iter().filter(|r| {
        of.suite.as_ref().is_none_or(|s| r.suite == *s)
            && of.dist.as_ref().is_none_or(|d| r.dist == *d)
            && of.format.as_ref().is_none_or(|f| r.format == *f)
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only.name.clone()),
        (None, _) => {
            let known = names(&repositories);
            Err(Error::not_found(format!("no such suite has a repository; there are: {known}")))
        }
        (Some(_), Some(_)) => {
            let known = names(&repositories);
            Err(Error::invalid(format!(
                "several repositories fit; name one with --repository or --suite, --dist and --format: {known}"
            )))
        }
    }
}

fn names(repositories: &[pybit_core::model::Repository]) -> String {
    let all =
        repositories.iter().map(|r| format!("{} ({}/{} {})", r.name, r.dist, r.suite, r.format));
    all.collect::<Vec<_>>().join(", ")
}
