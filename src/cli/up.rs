//! `pybit up`: the whole farm in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use pybit::roles::Backends;
use pybit::roles::up::{self, Ready};
use pybit_core::{Error, Result};
use tokio::sync::oneshot;

use super::context::Where;
use super::{demo, output, roles};

/// Run the whole farm in one process: web server, build client and watcher, on SQLite
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pybit up\n  pybit up --data-dir /srv/farm --listen 127.0.0.1:8080\n  pybit up --demo"
)]
pub(super) struct Args {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<std::net::SocketAddr>,
    /// Build the sample package too, publish it, and prove that apt takes it
    #[arg(long)]
    demo: bool,
    /// With --demo: end after the proof
    #[arg(long, requires = "demo")]
    once: bool,
    /// With --demo: the directory of the sample source package
    #[arg(
        long,
        requires = "demo",
        value_name = "DIR",
        default_value = "examples/packages/pybit-greeting"
    )]
    sample: PathBuf,
}

pub(super) async fn run(args: Args, place: &Where) -> Result<ExitCode> {
    roles::log_to_stderr(roles::QUIET);
    roles::warn_of_trial()?;
    let mut config = place.load()?;
    if args.demo {
        demo::allow_host(&mut config);
    }
    let stop = roles::ending();
    let (tell, told) = oneshot::channel();
    let farm = tokio::spawn(up::run(
        config,
        args.listen,
        Backends::default(),
        move |ready| drop(tell.send(ready)),
        stop.clone(),
    ));
    let shown = match told.await {
        Ok(ready) => greet(&ready, args.demo.then_some(args.sample.as_path())).await,
        // The farm has ended before it answered: its own error says why.
        Err(_) => Ok(()),
    };
    if args.once || shown.is_err() {
        stop.cancel();
    }
    let ended = farm.await.map_err(|e| Error::internal("the farm panicked").with_source(e))?;
    shown.and(ended).map(|()| ExitCode::SUCCESS)
}

async fn greet(ready: &Ready, sample: Option<&std::path::Path>) -> Result<()> {
    output::line(format!("the farm:  {}", ready.url));
    output::line(format!("data:      {}", ready.dir.path().display()));
    let token_file = ready.dir.admin_token();
    match &ready.new_token {
        Some(token) => output::line(format!(
            "token:     {} (shown once; kept in {})",
            token.expose(),
            token_file.display()
        )),
        None => output::line(format!("token:     in {}", token_file.display())),
    }
    match sample {
        Some(sample) => demo::show(ready, sample).await,
        None => Ok(()),
    }
}
