//! `pybit cancel`: end jobs.

use std::path::PathBuf;

use pybit_core::model::{JobId, JobStatus, PackageName, SubmissionId};
use pybit_core::protocol::CancelMany;
use pybit_core::{Error, Result};

use super::context::{Context, read_text};
use super::output;

/// Cancel jobs: some, a package's, or all
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pybit cancel 12 13\n  pybit cancel --package hello\n  pybit cancel --submissions-from numbers\n  pybit cancel --all --yes"
)]
pub(super) struct Args {
    /// The jobs' numbers
    #[arg(required_unless_present_any = ["package", "submission", "submissions_from", "all"])]
    jobs: Vec<JobId>,
    /// Every unfinished job of this source package
    #[arg(long, conflicts_with_all = ["jobs", "all"])]
    package: Option<PackageName>,
    /// Every unfinished job of these submissions
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["jobs", "package", "all"])]
    submission: Vec<SubmissionId>,
    /// The same for the numbers in this file (- for standard input), as submit --batch prints them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jobs", "package", "all"])]
    submissions_from: Option<PathBuf>,
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

/// More jobs are counted and not listed.
const MOST_LINES: usize = 1000;

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    if args.all && !args.yes {
        return Err(Error::invalid(
            "--all cancels every unfinished job of the farm; say --yes to do that",
        ));
    }
    let mut submissions = args.submission;
    if let Some(file) = &args.submissions_from {
        for (line, text) in (1..).zip(read_text(file)?.lines()) {
            for word in text.split_whitespace() {
                let Ok(id) = word.parse() else {
                    return Err(Error::invalid(format!(
                        "{}, line {line}: {} is not a submission's number",
                        file.display(),
                        output::tame(&format!("{word:?}"))
                    )));
                };
                submissions.push(id);
            }
        }
        if submissions.is_empty() {
            return Err(Error::invalid(format!("{} names no submission", file.display())));
        }
    }
    let cancelled = if args.jobs.is_empty() {
        let which =
            CancelMany { package: args.package, submissions, all: args.all, reason: args.reason };
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
    if cancelled.len() > MOST_LINES {
        output::line(format!("{} jobs are cancelled or being stopped", cancelled.len()));
        return Ok(());
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
