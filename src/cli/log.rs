//! `pybit log`: what a build says.

use futures_util::StreamExt;
use pybit_client::{LogEvent, Retry};
use pybit_core::Result;
use pybit_core::model::JobId;

use super::context::Context;
use super::output;

/// Print the log of a job
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's number
    job: JobId,
    /// The attempt; the newest where left out
    #[arg(long)]
    attempt: Option<u32>,
    /// Start at this byte
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// Go on printing while the job is built
    #[arg(long, short)]
    follow: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    if !args.follow {
        output::log(&context.api.log(args.job, args.attempt, args.offset).await?);
        return Ok(());
    }
    let mut events = context.api.follow(args.job, args.attempt, args.offset, Retry::patient());
    while let Some(event) = events.next().await {
        if let LogEvent::Log { bytes, .. } = event? {
            output::log(&bytes);
            if output::is_closed() {
                break;
            }
        }
    }
    Ok(())
}
