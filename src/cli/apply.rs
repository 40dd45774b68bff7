//! `pybit apply` and `pybit export`: what the farm serves, as a file.

use std::io::IsTerminal;
use std::path::PathBuf;

use pybit::farm_file;
use pybit_core::model::CatalogueChange;
use pybit_core::{Error, Result};

use super::context::Context;
use super::output;

/// Make a file what the farm serves: suites, weights, repositories, block rules, hook rules
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pybit export > farm.toml\n  pybit apply farm.toml --dry-run\n  pybit apply farm.toml\n  pybit export | pybit apply --dry-run\n\nApplying the same file again changes nothing. What unfinished jobs still need is not removed."
)]
pub(super) struct Args {
    /// The file, - for standard input; docs/catalogue.md shows one
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Show what would change; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also take away what the file does not name
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print what the farm serves as a file for `pybit apply`
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    if args.file.as_os_str() == "-" && std::io::stdin().is_terminal() {
        return Err(Error::invalid("name the file to apply, or give it on standard input"));
    }
    let wanted = farm_file::read(&args.file)?;
    let plan = context.api.replace_catalogue(&wanted, true).await?;
    let removed = plan.changes.iter().filter(|c| c.removes()).count();
    let stopped = removed > 0 && !args.yes && !args.dry_run;
    if !args.json || stopped {
        tell(&plan.changes);
    }
    if stopped {
        return Err(Error::invalid(format!(
            "{removed} of these take something away that the file does not name; say --yes to do that"
        )));
    }
    let reply =
        if args.dry_run { plan } else { context.api.replace_catalogue(&wanted, false).await? };
    if args.json {
        return output::json(&reply);
    }
    match (reply.applied, reply.changes.len()) {
        (_, 0) => output::note("The farm is like that already."),
        (true, 1) => output::note("1 change is made."),
        (true, n) => output::note(format!("{n} changes are made.")),
        (false, _) => output::note("Nothing is changed: this was a dry run."),
    }
    Ok(())
}

fn tell(changes: &[CatalogueChange]) {
    for change in changes {
        output::line(output::tame(&change.to_string()));
    }
}

pub(super) async fn export(args: &ExportArgs, context: &Context) -> Result<()> {
    let catalogue = context.api.catalogue().await?;
    if args.json {
        return output::json(&catalogue);
    }
    output::print(&farm_file::write(&catalogue)?);
    Ok(())
}
