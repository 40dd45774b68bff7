//! `pybit job`, `retry` and `why`: one job.

use pybit_core::Result;
use pybit_core::model::JobId;
use pybit_core::protocol::{Explanation, JobDetail};

use super::context::{Context, fresh_key, patiently, soon};
use super::{jobs, output};

/// Show one job: attempts, files, history
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's number
    job: JobId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Try a failed or cancelled job again, as a new job
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// The job's number
    job: JobId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say why a job is where it is
#[derive(Debug, clap::Args)]
pub(super) struct WhyArgs {
    /// The job's number
    job: JobId,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let detail = context.api.job(args.job).await?;
    if args.json {
        return output::json(&detail);
    }
    let why = context.api.why(args.job).await?;
    show(&detail, &why);
    Ok(())
}

fn show(detail: &JobDetail, why: &Explanation) {
    let job = &detail.job;
    let version = job.version.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
    output::line(format!("job {}: {}{version}, {}", job.id, job.package, job.target));
    output::line(format!("{}: {}", job.status, output::tame(&why.summary)));
    if !detail.attempts.is_empty() {
        output::line("");
        let row = |a: &pybit_core::model::Attempt| {
            let outcome = a.outcome.map_or("under way", pybit_core::model::Outcome::as_str);
            let note = a.failure.as_ref().map(|f| output::tame(&f.message)).unwrap_or_default();
            vec![
                a.number.to_string(),
                a.client.to_string(),
                output::moment(a.started_at),
                outcome.to_owned(),
                note,
            ]
        };
        output::table(
            &["attempt", "client", "started", "outcome", "note"],
            detail.attempts.iter().map(row).collect(),
        );
    }
    if !detail.files.is_empty() {
        output::line("");
        let row = |f: &pybit_core::protocol::FileState| {
            vec![f.spec.name.to_string(), f.spec.size.to_string(), f.spec.sha256.clone()]
        };
        output::table(&["file", "bytes", "sha256"], detail.files.iter().map(row).collect());
    }
    output::line("");
    let row = |e: &pybit_core::model::Event| {
        vec![output::moment(e.at), e.to.to_string(), output::tame(&e.actor), output::tame(&e.cause)]
    };
    output::table(&["at", "status", "by", "why"], detail.events.iter().map(row).collect());
}

pub(super) async fn retry(args: &RetryArgs, context: &Context) -> Result<()> {
    let key = fresh_key();
    let job = patiently(soon(), async || context.api.retry(args.job, Some(&key)).await).await?;
    if args.json {
        return output::json(&job);
    }
    output::line(format!("job {} tries job {} again", job.id, args.job));
    Ok(())
}

pub(super) async fn why(args: &WhyArgs, context: &Context) -> Result<()> {
    let why = context.api.why(args.job).await?;
    if args.json {
        return output::json(&why);
    }
    output::line(output::tame(&why.summary));
    if let Some(ahead @ 1..) = why.ahead {
        let jobs = if ahead == 1 { "job is" } else { "jobs are" };
        output::line(format!("  {ahead} {jobs} claimed before it for the same target"));
    }
    if !why.order.is_empty() {
        output::line(format!("  {}", output::tame(&why.order)));
    }
    for client in &why.clients {
        let mark = if client.eligible { "can" } else { "cannot" };
        output::line(format!("  {} {mark}: {}", client.client, output::tame(&client.reason)));
    }
    let note = context.api.job(args.job).await.map(|d| jobs::note(&d.job)).unwrap_or_default();
    if !note.is_empty() {
        output::line(note);
    }
    Ok(())
}
