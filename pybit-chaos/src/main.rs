//! The fault harness of pybit: a real farm of real processes, broken by a seeded schedule, and then looked at.
//!
//! | to know | open |
//! |---|---|
//! | what happens when | `plan.rs`, `trouble.rs` |
//! | how the farm is put together | `farm/` |
//! | what each fault does | `faults/`, `proxy.rs` |
//! | what must hold | `check/` |
//! | the fake builder, the light publisher | `builder/`, `light.rs` |

mod builder;
mod check;
mod directed;
mod farm;
mod faults;
mod light;
mod mutations;
mod plan;
mod proxy;
mod report;
mod run;
mod submit;
mod trouble;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Breaks a real pybit farm by a seeded schedule and checks what it promised.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a farm, breaks it, checks it. Exit status 1 where an invariant does not hold.
    Run(run::Options),
    /// Breaks one rule of a build with the feature `trial` after the other and sees an invariant fail each time.
    Mutations(mutations::Options),
    /// Prints the schedule of a seed.
    Plan(run::Options),
    /// A build client with the fake builder.
    #[command(hide = true)]
    Client {
        /// Its configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// A watcher with the light publisher.
    #[command(hide = true)]
    Watch {
        /// Its configuration.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Children die with the thread that started them, so all of the harness is one thread; the roles have their own.
fn main() -> ExitCode {
    if let Some(code) = faults::liar::played() {
        return code;
    }
    let mut runtime = match Args::parse().verb {
        Verb::Client { config } => return role(builder::run(&config)),
        Verb::Watch { config } => return role(light::run(&config)),
        Verb::Mutations(options) => return options.run(),
        Verb::Plan(options) => {
            let text = serde_json::to_string_pretty(&options.plan());
            println!("{}", text.unwrap_or_default());
            return ExitCode::SUCCESS;
        }
        Verb::Run(options) => match private_mounts().and_then(|()| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|r| (r, options)).map_err(|e| e.to_string())
        }) {
            Ok(ready) => ready,
            Err(e) => {
                eprintln!("pybit-chaos: {e}");
                return ExitCode::from(2);
            }
        },
    };
    let options = std::mem::take(&mut runtime.1);
    match runtime.0.block_on(run::run(options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("pybit-chaos: {e}");
            ExitCode::from(2)
        }
    }
}

/// Runs a role with threads of its own.
fn role(role: impl Future<Output = pybit::Result<()>>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("PYBIT_LOG"))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime
        .map_err(|e| e.to_string())
        .and_then(|r| r.block_on(role).map_err(|e| e.to_string()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// As root, goes on in a mount namespace of its own: the small disks are gone with the last process of the run.
#[expect(clippy::disallowed_methods, reason = "this program is replaced, not a build started")]
fn private_mounts() -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    const MARK: &str = "CHAOS_MOUNTS";
    if !nix::unistd::geteuid().is_root() || std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let error = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(me)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .exec();
    Err(format!("unshare: {error}"))
}
