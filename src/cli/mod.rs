//! The verbs of the `pybit` command: one file each.

mod account;
mod apply;
mod cancel;
mod clients;
mod context;
mod demo;
mod doctor;
mod follow;
mod job;
mod jobs;
mod load;
mod log;
mod orders;
mod output;
mod package;
mod password;
mod repository;
mod roles;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod storage;
mod submit;
mod token;
mod up;
mod upload;
mod usage;
mod vercmp;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use pybit_core::{Error, Result};

use context::{Context, Where};

/// A test build says that it is one.
const VERSION: &str = if pybit_core::trial::IS_ON {
    concat!(env!("CARGO_PKG_VERSION"), "+trial (a test build that makes faults on request)")
} else {
    env!("CARGO_PKG_VERSION")
};

/// A package build farm: source in, signed apt, rpm and Python repositories out.
#[derive(Debug, Parser)]
#[command(
    name = "pybit",
    version = VERSION,
    propagate_version = true,
    after_help = "Start a whole farm with `pybit up`, then build something:\n  pybit submit apt:hello --suite bookworm --follow"
)]
struct Cli {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Args),
    /// Run the web server alone
    Web,
    /// Run a build client alone
    Client,
    /// Run the watcher alone
    Watch,
    Submit(submit::Args),
    Jobs(jobs::Args),
    Job(job::Args),
    Log(log::Args),
    Cancel(cancel::Args),
    Retry(job::RetryArgs),
    Why(job::WhyArgs),
    Clients(clients::Args),
    Package(package::Args),
    Repository(repository::Args),
    Apply(apply::Args),
    Export(apply::ExportArgs),
    Token(token::Args),
    Account(account::Args),
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    Storage(storage::Args),
    Doctor(doctor::Args),
    Vercmp(vercmp::Args),
    #[command(hide = true)]
    Load(load::Args),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or that of a verb
    #[command(hide = true)]
    Man {
        /// The verb
        verb: Option<String>,
    },
}

/// Verbs that talk to no server, or to the one that their own table names: `--help` does not offer them one.
const ALONE: [&str; 7] = ["up", "web", "client", "watch", "vercmp", "completions", "man"];

fn command() -> clap::Command {
    let whole = Cli::command();
    let needless = whole.get_arguments().filter(|a| matches!(a.get_id().as_str(), "url" | "token"));
    let needless: Vec<_> = needless.map(|a| a.clone().hide(true)).collect();
    ALONE.into_iter().fold(whole, |c, verb| c.mut_subcommand(verb, |v| v.args(&needless)))
}

/// The exit code of a command that was told to stop.
const INTERRUPTED: u8 = 130;

/// Reads the arguments, runs the verb, and says in one line what went wrong.
pub(crate) fn run() -> ExitCode {
    let read = command().try_get_matches().and_then(|given| Cli::from_arg_matches(&given));
    let cli = match read {
        Ok(cli) => cli,
        Err(error) => return usage::told(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            return failed(&Error::internal("the program cannot start its threads").with_source(e));
        }
    };
    let ended = runtime.block_on(dispatch(cli));
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    let mut line = error.message().to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    output::complain(&line);
    ExitCode::FAILURE
}

async fn dispatch(cli: Cli) -> Result<ExitCode> {
    let place = cli.place;
    match cli.verb {
        Verb::Up(args) => return up::run(args, &place).await,
        Verb::Web => roles::web(&place).await?,
        Verb::Client => roles::client(&place).await?,
        Verb::Watch => roles::watch(&place).await?,
        Verb::Vercmp(args) => return vercmp::run(&args),
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        Verb::Storage(args) => return or_interrupted(storage::run(args, &place)).await,
        Verb::Load(args) => return or_interrupted(load::run(args, &place)).await,
        Verb::Doctor(args) => return doctor::run(&args, &place).await,
        Verb::Completions { shell } => completions(shell),
        Verb::Man { verb } => usage::man(command(), verb.as_deref())?,
        talking => return or_interrupted(talk(talking, &Context::open(&place)?)).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The verbs that talk to a server.
async fn talk(verb: Verb, context: &Context) -> Result<ExitCode> {
    match verb {
        Verb::Submit(args) => return submit::run(args, context).await,
        Verb::Jobs(args) => jobs::run(args, context).await?,
        Verb::Job(args) => job::run(&args, context).await?,
        Verb::Log(args) => log::run(&args, context).await?,
        Verb::Cancel(args) => cancel::run(args, context).await?,
        Verb::Retry(args) => job::retry(&args, context).await?,
        Verb::Why(args) => job::why(&args, context).await?,
        Verb::Clients(args) => clients::run(args, context).await?,
        Verb::Package(args) => return package::run(args, context).await,
        Verb::Repository(args) => return repository::run(args, context).await,
        Verb::Apply(args) => apply::run(&args, context).await?,
        Verb::Export(args) => apply::export(&args, context).await?,
        Verb::Token(args) => token::run(args, context).await?,
        Verb::Account(args) => account::run(args, context).await?,
        _ => return Err(Error::internal("this verb talks to no server")),
    }
    Ok(ExitCode::SUCCESS)
}

async fn or_interrupted(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::select! {
        // First: from its first poll on the signal is ours, and what the work does to a terminal is put right.
        biased;
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(INTERRUPTED)),
        ended = work => ended,
    }
}

fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "pybit", &mut script);
    output::print(&String::from_utf8_lossy(&script));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        command().debug_assert();
    }
}
