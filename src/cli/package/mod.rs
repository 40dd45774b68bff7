//! `pybit package`: the packages of a repository: list, take out, history.

mod show;

use std::process::ExitCode;

use pybit_core::model::{OrderKind, PackageName, RepositoryName, Version};
use pybit_core::protocol::NewPackageOrder;
use pybit_core::{Error, Result};

use super::context::Context;
use super::{orders, output};
use orders::{OfSuite, ended, recorded, resolve};

/// List the packages of a repository, take one out, or show its history
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List what readers of a repository see now
    #[command(
        after_help = "Examples:\n  pybit package list bookworm\n  pybit package list --suite bookworm --source hello"
    )]
    List {
        /// The repository
        repository: Option<RepositoryName>,
        #[command(flatten)]
        suite: OfSuite,
        /// Only packages that were built from this source package
        #[arg(long, value_name = "NAME")]
        source: Option<PackageName>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Remove(Box<Remove>),
    /// Show publications and removals of a source package, oldest first
    #[command(after_help = "Example:\n  pybit package history hello --repository bookworm")]
    History {
        /// The source package
        package: PackageName,
        /// Only in this repository
        #[arg(long, value_name = "NAME")]
        repository: Option<RepositoryName>,
        /// At most this many, the newest, 1 to 200
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Take a source package, and all that was built from it, out of a repository
#[derive(Debug, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "The repository's watcher carries the order out. Readers no longer see the packages; the record stays in \
                  `pybit package history`. A lower version, or the same bytes, may be built and published afterwards; other \
                  bytes under a version that was there are refused.\n\nExamples:\n  \
                  pybit package remove hello --repository bookworm --dry-run\n  \
                  pybit package remove hello --version 2.10-3 --suite bookworm --reason \"broken on arm64\" --yes --wait"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Remove {
    /// The source package
    package: PackageName,
    /// Only this version, as the source package has it [default: every version]
    #[arg(long)]
    version: Option<Version>,
    /// The repository
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    #[command(flatten)]
    suite: OfSuite,
    /// Why, for the history
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Only list what would be taken out
    #[arg(long)]
    dry_run: bool,
    /// Take it out; without this only list what would be taken out, and fail
    #[arg(long)]
    yes: bool,
    /// Wait until the watcher has done it
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    match args.what {
        What::List { repository, suite, source, json } => {
            let repository = resolve(repository, &suite, context).await?;
            let request = NewPackageOrder {
                kind: OrderKind::List,
                package: source,
                version: None,
                reason: None,
                dry_run: true,
            };
            let order = recorded(&repository, &request, context).await?;
            let order = ended(&order, context).await?;
            if json {
                output::json(&order.packages)?;
            } else {
                show::packages(&order);
            }
        }
        What::Remove(args) => return remove(*args, context).await,
        What::History { package, repository, limit, json } => {
            let history = context.api.package_history(&package, repository.as_ref(), limit);
            let history = history.await?;
            if json {
                output::json(&history)?;
            } else {
                show::history(&package, &history);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(args: Remove, context: &Context) -> Result<ExitCode> {
    let repository = resolve(args.repository, &args.suite, context).await?;
    let dry_run = args.dry_run || !args.yes;
    let request = NewPackageOrder {
        kind: OrderKind::Remove,
        package: Some(args.package),
        version: args.version,
        reason: args.reason,
        dry_run,
    };
    let mut order = recorded(&repository, &request, context).await?;
    if dry_run || args.wait {
        order = ended(&order, context).await?;
    }
    if args.json {
        output::json(&order)?;
    } else {
        show::removal(&order);
    }
    if args.dry_run || args.yes || order.packages.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::invalid("nothing was taken out: say --yes to take these out"))
}
