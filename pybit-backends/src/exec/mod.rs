//! The one place that starts processes.
//!
//! Every command runs under a small supervisor process ([`supervise`]) that kills the command's whole process tree when
//! it is told to, when the pybit process dies, and when the command itself has ended. So nothing that a build starts
//! outlives it: no daemon, no other session, no process in a namespace of its own.

mod cmd;
pub(crate) mod enter;
pub(crate) mod helper;
mod limits;
mod pump;
pub mod supervise;
mod tail;
mod tree;

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use pybit_core::build::LogSink;
use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind, Result};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use cmd::Cmd;
pub(crate) use cmd::PATH;
pub use limits::{Hold, Holds};
pub use tail::Tail;

use crate::env::BuildUser;
use limits::{Group, disk};
use pump::Pumped;
use tree::Tree;

/// How to start a supervisor: this program with these arguments ends up in [`supervise::main`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    /// An absolute path; inside environments it is started as the build user, who must be able to reach it.
    pub program: PathBuf,
    /// What stands before the supervisor's own arguments.
    pub args: Vec<String>,
}

impl Supervisor {
    /// The running program itself, started with `verb`.
    pub fn this_program(verb: &str) -> Result<Self> {
        let program = std::env::current_exe().map_err(|e| {
            Error::internal("the running program's own path is unknown").with_source(e)
        })?;
        Ok(Self { program, args: vec![verb.to_owned()] })
    }
}

/// Starts processes, as one user.
#[derive(Debug, Clone)]
pub struct Exec {
    supervisor: Supervisor,
    user: Option<BuildUser>,
    hold: Arc<Hold>,
}

/// What a short tool said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, where it ended well.
    pub fn text(&self) -> Option<String> {
        (self.exit == Exit::Code(0)).then(|| String::from_utf8_lossy(&self.stdout).into_owned())
    }

    /// Standard error as text.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

impl Exec {
    /// Starts processes as `user`, or as this process's own user.
    pub fn new(supervisor: Supervisor, user: Option<BuildUser>) -> Self {
        Self { supervisor, user, hold: Arc::new(Hold::Processes) }
    }

    /// Holds commands to their [`resources`](pybit_core::build::StepLimits::resources) by this, instead of by `prlimit(1)`.
    pub fn held_by(self, hold: Hold) -> Self {
        Self { hold: Arc::new(hold), ..self }
    }

    /// The user that processes run as, where it is not this process's own.
    pub fn user(&self) -> Option<&BuildUser> {
        self.user.as_ref()
    }

    /// How supervisors are started.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Runs a command to its end, both its outputs into the log. It returns when no process of its tree is left.
    ///
    /// Dropping the future kills the tree, and returns from the drop when it is dead or after a second.
    pub async fn run(&self, cmd: &Cmd, log: &dyn LogSink) -> Result<Exit> {
        self.run_until(cmd, log, &CancellationToken::new()).await
    }

    /// Like [`run`](Self::run); `stop` kills the tree at once, and the answer then is [`Exit::Stopped`].
    pub async fn run_until(
        &self,
        cmd: &Cmd,
        log: &dyn LogSink,
        stop: &CancellationToken,
    ) -> Result<Exit> {
        if stop.is_cancelled() {
            return Ok(Exit::Stopped);
        }
        let (reader, writer) = std::io::pipe().map_err(|e| cannot_start(cmd, e))?;
        let second = writer.try_clone().map_err(|e| cannot_start(cmd, e))?;
        let group = Group::make(&self.hold, &cmd.limits.resources)?;
        let mut tree =
            Tree::start(self, cmd, group.as_ref(), Stdio::from(second), Stdio::from(writer))?;
        let output = receiver(reader).map_err(|e| cannot_start(cmd, e))?;
        let mut pumping = pin!(pump::into_log(output, &cmd.limits, log));
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => Pumped::Over(Exit::Stopped),
            () = tokio::time::sleep(cmd.limits.wall) => Pumped::Over(Exit::TimedOut),
            excess = disk::exceeded(cmd.room.clone(), cmd.limits.resources) => {
                Pumped::Over(Exit::Exceeded(excess))
            }
            end = &mut pumping => end,
            // A supervisor that was killed lets processes live that hold the output open.
            () = tree.supervisor_gone() => {
                timeout(REST, &mut pumping).await.unwrap_or(Pumped::Ended)
            }
        };
        match end {
            Pumped::Ended => Ok(held_to(group.as_ref(), tree.report().await?)),
            Pumped::Over(exit) => tree.kill().await.map(|()| exit),
            Pumped::SinkFailed(e) => {
                tree.kill().await?;
                Err(e)
            }
        }
    }

    /// Runs a short tool and keeps what it says, at most `max_bytes` of each output; more fails, `TooLarge`.
    pub async fn output(&self, cmd: &Cmd, max_bytes: usize) -> Result<Output> {
        let (out_reader, out) = std::io::pipe().map_err(|e| cannot_start(cmd, e))?;
        let (err_reader, err) = std::io::pipe().map_err(|e| cannot_start(cmd, e))?;
        let tree = Tree::start(self, cmd, None, Stdio::from(out), Stdio::from(err))?;
        let out = receiver(out_reader).map_err(|e| cannot_start(cmd, e))?;
        let err = receiver(err_reader).map_err(|e| cannot_start(cmd, e))?;
        let both = async {
            tokio::try_join!(pump::into_memory(out, max_bytes), pump::into_memory(err, max_bytes))
        };
        match timeout(cmd.limits.wall, both).await {
            Ok(Ok((stdout, stderr))) => Ok(Output { exit: tree.report().await?, stdout, stderr }),
            Ok(Err(e)) => {
                tree.kill().await?;
                Err(e)
            }
            Err(_) => {
                tree.kill().await?;
                Ok(Output { exit: Exit::TimedOut, stdout: vec![], stderr: vec![] })
            }
        }
    }

    /// Runs a short tool that must end well, with nothing kept but its standard output.
    pub async fn check(&self, cmd: &Cmd, max_bytes: usize) -> Result<String> {
        let output = self.output(cmd, max_bytes).await?;
        output.text().ok_or_else(|| {
            let message = format!(
                "{} failed ({:?}): {}",
                cmd.name(),
                output.exit,
                one_line(&output.complaint())
            );
            Error::new(ErrorKind::Unavailable, message).with_code("tool_failed")
        })
    }
}

/// How long the last output of a finished command may take to arrive in the log.
const REST: Duration = Duration::from_secs(5);
/// How long a killed tree may take to be gone; only a process stuck in the kernel takes this long.
const DYING: Duration = Duration::from_mins(1);

/// The end of a command that had to keep to the bounds of its group.
fn held_to(group: Option<&Group>, exit: Exit) -> Exit {
    let excess = group.filter(|_| exit != Exit::Code(0)).and_then(Group::excess);
    excess.map_or(exit, Exit::Exceeded)
}

fn receiver(reader: PipeReader) -> std::io::Result<Receiver> {
    Receiver::from_owned_fd(OwnedFd::from(reader))
}

fn cannot_start(cmd: &Cmd, e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} cannot be started: {e}", cmd.name()))
        .with_code("cannot_start")
        .with_source(e)
}

/// The end of what a tool said, fit for a message.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(3)..].join("; ");
    tail.chars().filter(|c| !c.is_control()).take(400).collect()
}
