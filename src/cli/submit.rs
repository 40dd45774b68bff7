//! `pybit submit`: build something.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use pybit_client::{Api, Destination, Retry};
use pybit_core::model::{Arch, Dist, EnvName, FormatName, NewSubmission, Source, Suite};
use pybit_core::protocol::{Manifest, PlannedView};
use pybit_core::Result;

use super::context::Context;
use super::source::Local;
use super::{follow, output, source};

/// Build a source for a suite
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SOURCE is one of:\n  x.dsc                    a source package, its files beside it\n  DIR                      a directory with debian/\n  git+URL[#REF]            a git repository at a branch, tag or commit\n  apt:NAME[=VERSION]       the distribution's own source package\n\nExamples:\n  pybit submit apt:hello --suite bookworm --follow\n  pybit submit . --suite bookworm --arch amd64 --wait\n  pybit submit git+https://example.org/x.git#debian/1.0-1 --suite bookworm --dry-run"
)]
pub(super) struct Args {
    /// What to build
    source: String,
    /// The suite to build for
    #[arg(long)]
    suite: Suite,
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let api = &context.api;
    let source = match source::local(&args.source)? {
        Some(local) => send(api, &local).await?,
        None => args.source.parse()?,
    };
    let request = NewSubmission {
        source,
        suite: args.suite,
        dist: args.dist,
        format: args.format,
        arches: args.arch,
        env: args.env,
        priority: args.priority,
        force: args.force,
    };
    if args.dry_run {
        let plan = api.plan(&request).await?;
        if args.json {
            output::json(&plan)?;
        } else {
            show(&plan);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let key = args.idempotency_key.unwrap_or_else(|| format!("pybit-{:032x}", rand::random::<u128>()));
    let reply = api.submit(&request, Some(&key)).await?;
    let id = reply.submission.id;
    if !args.json {
        let jobs: Vec<_> = reply.jobs.iter().map(|j| j.id.to_string()).collect();
        output::note(format!("submission {id}: job {}", jobs.join(", ")));
    }
    if !args.wait && !args.follow {
        if args.json {
            output::json(&reply)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ended = if args.follow { follow::logs(api, id).await? } else { follow::wait(api, id, !args.json).await? };
    if args.json {
        output::json(&ended)?;
    }
    Ok(if follow::all_done(&ended) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends local files to an upload of their own.
async fn send(api: &Api, local: &Local) -> Result<Source> {
    let files: Vec<_> = local.files.iter().map(|(spec, _)| spec.clone()).collect();
    let bytes: u64 = files.iter().map(|f| f.size).sum();
    let upload = api.declare_upload(&Manifest { attempt: 0, files }).await?;
    let bar = ProgressBar::new(bytes).with_style(
        ProgressStyle::with_template("sending {msg} {bar:30} {bytes}/{total_bytes} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    for file in &local.files {
        bar.set_message(file.0.name.to_string());
        api.send_files(Destination::Upload(upload.id), std::slice::from_ref(file), &Retry::patient()).await?;
        bar.inc(file.0.size);
    }
    bar.finish_and_clear();
    Ok(Source::Upload { upload: upload.id, main: local.main.clone() })
}

fn show(plan: &[PlannedView]) {
    let row = |p: &PlannedView| {
        let version = p.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = format!("{:?}", p.kind).to_lowercase();
        vec![kind, p.package.to_string(), version, p.target.to_string(), output::tame(&p.why)]
    };
    output::table(&["job", "package", "version", "builds for", "why"], plan.iter().map(row).collect());
}
