//! `pybit submit`: build something.

mod batch;

use std::path::PathBuf;
use std::process::ExitCode;

use pybit::source;
use pybit_client::Api;
use pybit_core::model::{Arch, Dist, EnvName, FormatName, NewSubmission, Source, Suite};
use pybit_core::protocol::{PlannedView, SubmissionReply};
use pybit_core::{Error, Result};

use super::context::{Context, fresh_key, patiently, soon};
use super::{follow, output, upload};

/// Build a source for a suite
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SOURCE is one of:\n  x.dsc                    a source package, its files beside it\n  x.src.rpm                a source RPM\n  x-1.0.tar.gz             an sdist of a Python project\n  DIR                      a directory with debian/, a spec file, pyproject.toml or setup.py\n  git+URL[#REF]            a git repository at a branch, tag or commit\n  svn+URL[@REVISION]       a path in a Subversion repository\n  apt:NAME[=VERSION]       the distribution's own source package\n\nExamples:\n  pybit submit apt:hello --suite bookworm --follow\n  pybit submit . --suite bookworm --arch amd64 --wait\n  pybit submit git+https://example.org/x.git#debian/1.0-1 --suite bookworm --dry-run\n  pybit submit --batch sources.txt --suite bookworm --arch amd64,arm64 --yes > numbers"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// What to build
    #[arg(required_unless_present = "batch")]
    source: Option<String>,
    /// Build what each line of this file says (- for standard input): SOURCE and, where they differ from the options here,
    /// suite=, dist=, format=, arch=, env=, priority=, force
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "dry_run", "wait", "follow"])]
    batch: Option<PathBuf>,
    /// The suite to build for
    #[arg(long, required_unless_present = "batch")]
    suite: Option<Suite>,
    /// The distribution; needed where several have the suite
    #[arg(long)]
    dist: Option<Dist>,
    /// The package format; needed where the suite has several
    #[arg(long)]
    format: Option<FormatName>,
    /// Architectures; all that package and suite share where left out
    #[arg(long, value_delimiter = ',')]
    arch: Vec<Arch>,
    /// The build environment; the suite's heaviest where left out
    #[arg(long)]
    env: Option<EnvName>,
    /// Higher is built first, -1000 to 1000
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    priority: i32,
    /// Build even what the suite already has in the same or a newer version
    #[arg(long)]
    force: bool,
    /// Show the jobs that it would become, and why; record nothing
    #[arg(long)]
    dry_run: bool,
    /// End when every job has ended; exit 0 only if all are Done
    #[arg(long)]
    wait: bool,
    /// Print the logs while it is built, then as --wait
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    /// Makes repeating this command harmless: the same key gives the same submission
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// However many jobs it becomes
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let api = &context.api;
    if args.batch.is_some() {
        return batch::run(args, api).await;
    }
    let needed = || Error::internal("a submission without source or suite is refused before");
    let source = bring(api, args.source.ok_or_else(needed)?).await?;
    let request = NewSubmission {
        source,
        suite: args.suite.ok_or_else(needed)?,
        dist: args.dist,
        format: args.format,
        arches: args.arch,
        env: args.env,
        priority: args.priority,
        force: args.force,
    };
    if args.dry_run {
        return plan(api, &request, args.json).await.map(|()| ExitCode::SUCCESS);
    }
    let reply = record(api, &request, args.idempotency_key, args.yes).await?;
    let id = reply.submission.id;
    if !args.json {
        output::note(sentence(&reply));
    }
    let ended = if args.follow {
        follow::logs(api, id).await?
    } else if args.wait {
        follow::wait(api, id, !args.json).await?
    } else {
        reply
    };
    if args.json {
        output::json(&ended)?;
    }
    let fine = follow::all_done(&ended) || !(args.wait || args.follow);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends what lies on this machine; everything else is named.
async fn bring(api: &Api, words: String) -> Result<Source> {
    let named = words.clone();
    // Packing and hashing take their time; Ctrl-C is heard meanwhile.
    let read = tokio::task::spawn_blocking(move || source::local(&words)).await;
    match read.map_err(|e| Error::internal("reading the source panicked").with_source(e))?? {
        Some(local) => upload::send(api, &local).await,
        None => named.parse(),
    }
}

/// Records the submission. Its key makes asking again harmless, so a lost answer is asked for again.
async fn record(
    api: &Api,
    request: &NewSubmission,
    key: Option<String>,
    confirmed: bool,
) -> Result<SubmissionReply> {
    let key = key.unwrap_or_else(fresh_key);
    patiently(soon(), async || {
        if confirmed {
            api.submit_confirmed(request, Some(&key)).await
        } else {
            api.submit(request, Some(&key)).await
        }
    })
    .await
}

fn sentence(reply: &SubmissionReply) -> String {
    let jobs: Vec<_> = reply.jobs.iter().map(|j| j.id.to_string()).collect();
    let jobs = if jobs.len() == 1 { "job" } else { "jobs" }.to_owned() + " " + &jobs.join(", ");
    let repeated = if reply.repeated { ", recorded before" } else { "" };
    format!("submission {}: {jobs}{repeated}", reply.submission.id)
}

async fn plan(api: &Api, request: &NewSubmission, json: bool) -> Result<()> {
    let plan = api.plan(request).await?;
    if json {
        return output::json(&plan);
    }
    show(&plan);
    Ok(())
}

fn show(plan: &[PlannedView]) {
    let row = |p: &PlannedView| {
        let version = p.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = format!("{:?}", p.kind).to_lowercase();
        let master = if p.master { "yes" } else { "" }.to_owned();
        let target = p.target.to_string();
        vec![kind, p.package.to_string(), version, target, master, output::tame(&p.why)]
    };
    let head = ["job", "package", "version", "builds for", "master", "why"];
    output::table(&head, plan.iter().map(row).collect());
}
