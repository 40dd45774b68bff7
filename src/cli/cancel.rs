//! `pybit cancel`: end jobs.

use pybit_core::model::{JobId, JobStatus, PackageName};
use pybit_core::protocol::CancelMany;
use pybit_core::{Error, Result};

use super::context::Context;
use super::output;

/// Cancel jobs: some, a package's, or all
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pybit cancel 12 13\n  pybit cancel --package hello\n  pybit cancel --all --yes"
)]
pub(super) struct Args {
    /// The jobs' numbers
    #[arg(required_unless_present_any = ["package", "all"])]
    jobs: Vec<JobId>,
    /// Every unfinished job of this source package
    #[arg(long, conflicts_with_all = ["jobs", "all"])]
    package: Option<PackageName>,
    /// Every unfinished job of the farm; needs --yes
    #[arg(long, conflicts_with = "jobs")]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Why, for the history
    #[arg(long)]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    if args.all && !args.yes {
        return Err(Error::invalid(
            "--all cancels every unfinished job of the farm; say --yes to do that",
        ));
    }
    let cancelled = if args.jobs.is_empty() {
        let which = CancelMany { package: args.package, all: args.all, reason: args.reason };
        context.api.cancel_many(&which).await?
    } else {
        let mut cancelled = Vec::with_capacity(args.jobs.len());
        for id in args.jobs {
            cancelled.push(context.api.cancel(id, args.reason.clone()).await?);
        }
        cancelled
    };
    if args.json {
        return output::json(&cancelled);
    }
    for job in &cancelled {
        let state =
            if job.status == JobStatus::Cancelled { "is cancelled" } else { "is being stopped" };
        output::line(format!("job {} ({}) {state}", job.id, job.package));
    }
    if cancelled.is_empty() {
        output::note("There was nothing to cancel.");
    }
    Ok(())
}
