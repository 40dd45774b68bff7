//! `pybit jobs`: which jobs there are.

use pybit_core::Result;
use pybit_core::model::{
    Arch, ClientName, Dist, Job, JobFilter, JobId, JobStatus, PackageName, Page, SubmissionId,
    Suite,
};

use super::context::Context;
use super::output;

/// List jobs, newest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pybit jobs --status building\n  pybit jobs --package hello --json"
)]
pub(super) struct Args {
    /// Only jobs in this status
    #[arg(long)]
    status: Option<JobStatus>,
    /// Only jobs of this source package
    #[arg(long)]
    package: Option<PackageName>,
    /// Only jobs of this distribution
    #[arg(long)]
    dist: Option<Dist>,
    /// Only jobs of this suite
    #[arg(long)]
    suite: Option<Suite>,
    /// Only jobs of this architecture
    #[arg(long)]
    arch: Option<Arch>,
    /// Only jobs that this build client holds or held
    #[arg(long)]
    client: Option<ClientName>,
    /// Only jobs of this submission
    #[arg(long)]
    submission: Option<SubmissionId>,
    /// Only jobs before this number
    #[arg(long)]
    before: Option<JobId>,
    /// At most this many, 1 to 200
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<()> {
    let filter = JobFilter {
        submission: args.submission,
        status: args.status,
        package: args.package,
        dist: args.dist,
        suite: args.suite,
        arch: args.arch,
        client: args.client,
    };
    let jobs = context.api.jobs(&filter, &Page { before: args.before, limit: args.limit }).await?;
    if args.json {
        return output::json(&jobs);
    }
    print(&jobs);
    if let Some(last) = jobs.last().filter(|_| jobs.len() as u64 == u64::from(args.limit)) {
        output::note(format!("There may be more: --before {}", last.id));
    }
    Ok(())
}

/// Prints jobs as a table.
pub(super) fn print(jobs: &[Job]) {
    if jobs.is_empty() {
        output::note("No job matches.");
        return;
    }
    let head = ["job", "package", "version", "suite", "arch", "env", "status", "client", "note"];
    output::table(&head, jobs.iter().map(row).collect());
}

fn row(job: &Job) -> Vec<String> {
    let target = &job.target;
    vec![
        job.id.to_string(),
        job.package.to_string(),
        job.version.as_ref().map(ToString::to_string).unwrap_or_default(),
        target.suite.to_string(),
        target.arch.to_string(),
        target.env.to_string(),
        job.status.to_string(),
        job.client.as_ref().map(ToString::to_string).unwrap_or_default(),
        note(job),
    ]
}

/// Why a job is not simply on its way.
pub(super) fn note(job: &Job) -> String {
    match (&job.failure, job.status) {
        (Some(failure), _) => output::tame(&format!("{}: {}", failure.class, failure.message)),
        (None, JobStatus::Blocked) => output::tame(&format!("missing {}", job.unmet.join(", "))),
        _ => String::new(),
    }
}
