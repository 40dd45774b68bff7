//! `pybit repository`: the keys of a repository: list, roll over.

mod show;

use std::process::ExitCode;

use futures_util::future::try_join_all;
use pybit_core::model::{OrderKind, PackageOrder, RepositoryName};
use pybit_core::protocol::NewPackageOrder;
use pybit_core::{Error, Result};
use serde_json::json;

use super::context::{Context, patiently, soon};
use super::{orders, output};
use orders::{OfSuite, ended, recorded, resolve};

/// Show the keys of repositories, or roll one over to a new key
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the keys that sign a repository: fingerprint, expiry, state of a roll-over
    #[command(
        after_help = "The repositories' watchers are asked.\n\nExamples:\n  pybit repository keys\n  pybit repository keys --suite bookworm --json"
    )]
    Keys {
        /// The repository [default: every one]
        repository: Option<RepositoryName>,
        #[command(flatten)]
        suite: OfSuite,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    RollKey(Box<RollKey>),
}

/// Roll a repository's key over to a new one
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The repository's watcher makes the new key. Both keys sign the index for 90 days, then the new one alone. Readers \
                  of an apt repository get the new key with its keyring package; those of rpm and Python repositories fetch \
                  pybit.asc again within the 90 days. A repository that signs with an imported key is refused.\n\nExamples:\n  \
                  pybit repository roll-key bookworm --dry-run\n  \
                  pybit repository roll-key --suite bookworm --reason \"yearly\" --yes --wait"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct RollKey {
    /// The repository
    repository: Option<RepositoryName>,
    #[command(flatten)]
    suite: OfSuite,
    /// Why, for the record
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Only say whether a roll-over could begin
    #[arg(long)]
    dry_run: bool,
    /// Roll over; without this only say whether it could begin, and fail
    #[arg(long)]
    yes: bool,
    /// Wait until the watcher has done it
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The longest wait for the watchers' answers about their keys, in milliseconds.
const ANSWER_MS: u32 = 20_000;

pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    match args.what {
        What::Keys { repository, suite, json } => keys(repository, &suite, json, context).await,
        What::RollKey(args) => roll(*args, context).await,
    }
}

fn about_keys(kind: OrderKind, reason: Option<String>, dry_run: bool) -> NewPackageOrder {
    NewPackageOrder { kind, package: None, version: None, reason, dry_run }
}

async fn keys(
    repository: Option<RepositoryName>,
    suite: &OfSuite,
    json: bool,
    context: &Context,
) -> Result<ExitCode> {
    let names = if repository.is_some() || suite.suite.is_some() {
        vec![resolve(repository, suite, context).await?]
    } else {
        let catalogue = context.api.catalogue().await?;
        catalogue.repositories.into_iter().map(|r| r.name).collect()
    };
    let answers = try_join_all(names.iter().map(|name| ask(name, context))).await?;
    if json {
        let row = |order: &PackageOrder| json!({"repository": order.repository, "answered": order.state.is_final(), "keys": order.keys, "message": order.message});
        output::json(&answers.iter().map(row).collect::<Vec<_>>())?;
    } else {
        show::keys(&answers);
    }
    let answered = answers.iter().all(|order| order.state.is_final());
    Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks a repository's watcher, and waits for a while. A list that nobody waits for does no harm.
async fn ask(repository: &RepositoryName, context: &Context) -> Result<PackageOrder> {
    let order = recorded(repository, &about_keys(OrderKind::Keys, None, true), context).await?;
    let ask = async || context.api.package_order(repository, order.id, ANSWER_MS).await;
    patiently(soon(), ask).await
}

async fn roll(args: RollKey, context: &Context) -> Result<ExitCode> {
    let repository = resolve(args.repository, &args.suite, context).await?;
    let dry_run = args.dry_run || !args.yes;
    let request = about_keys(OrderKind::Roll, args.reason, dry_run);
    let mut order = recorded(&repository, &request, context).await?;
    if dry_run || args.wait {
        order = ended(&order, context).await?;
    }
    if args.json {
        output::json(&order)?;
    } else {
        show::roll(&order);
    }
    if args.dry_run || args.yes {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::invalid("the key was not rolled over: say --yes to begin"))
}
