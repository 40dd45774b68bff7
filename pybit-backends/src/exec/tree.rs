//! A process tree under its supervisor, as the pybit process holds it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind, Result};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::limits::{Group, by_prlimit};
use super::supervise::{Job, Report};
use super::{Cmd, DYING, Exec, cannot_start};

/// How long dropping a tree may block its thread, until the tree is dead; its own grace comes before.
const DROPPED: Duration = Duration::from_secs(1);

/// A running command and everything that it started. Dropping it kills all of that.
#[derive(Debug)]
pub(super) struct Tree {
    name: String,
    child: Child,
    /// The supervisor's standard input: closing our half of it means "kill all"; its report comes back on it.
    control: UnixStream,
    grace: Duration,
    gone: bool,
}

impl Tree {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
    pub(super) fn start(
        exec: &Exec,
        cmd: &Cmd,
        group: Option<&Group>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<Self> {
        let argv = match group {
            Some(_) => cmd.argv.clone(),
            None => by_prlimit(&cmd.argv, &cmd.limits.resources),
        };
        let job = Job {
            argv,
            cwd: cmd.cwd.clone(),
            vars: cmd.environment(exec),
            input: cmd.input.clone(),
            owner: exec.user().map(|u| (u.uid.as_raw(), u.gid.as_raw())),
            grace: cmd.grace,
            detours: group.map(Group::detours).unwrap_or_default(),
        };
        let supervisor = exec.supervisor();
        let failed = |e| cannot_start(cmd, e);
        let (mut control, theirs) = UnixStream::pair().map_err(failed)?;
        let child = Command::new(&supervisor.program)
            .args(&supervisor.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(|e| {
                let program = supervisor.program.display();
                let message = format!("the supervisor {program} cannot be started: {e}");
                Error::new(ErrorKind::Unavailable, message).with_source(e)
            })?;
        control.write_all(&job.to_line()?).map_err(failed)?;
        Ok(Self { name: cmd.name().to_owned(), child, control, grace: cmd.grace, gone: false })
    }

    /// Returns when the supervisor has ended.
    pub(super) async fn supervisor_gone(&mut self) {
        // Whatever keeps it from being waited for, `last_words` meets it too and says it.
        let _ = self.child.wait().await;
    }

    /// How the command ended, once nothing of its tree is left.
    pub(super) async fn report(mut self) -> Result<Exit> {
        match self.last_words().await? {
            Report::Code(code) => Ok(Exit::Code(code)),
            Report::Signal(signal) => Ok(Exit::Signal(signal)),
            Report::Stopped => Ok(Exit::Stopped),
            Report::CannotStart(why) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("{} cannot be started: {why}", self.name),
            )
            .with_code("cannot_start")),
        }
    }

    /// Kills all of it; returns when nothing is left.
    pub(super) async fn kill(mut self) -> Result<()> {
        // A supervisor that has just ended by itself has closed the connection already.
        let _ = self.control.shutdown(Shutdown::Write);
        let words = tokio::time::timeout(DYING, self.last_words()).await;
        words.map(|_| ()).map_err(|_| {
            let message =
                format!("processes of {} do not die; look for ones in state D", self.name);
            Error::new(ErrorKind::Unavailable, message).with_code("processes_left")
        })
    }

    async fn last_words(&mut self) -> Result<Report> {
        let lost = |e| {
            Error::new(ErrorKind::Unavailable, "the supervisor of a command cannot be read")
                .with_source(e)
        };
        let control = self.control.try_clone().map_err(lost)?;
        control.set_nonblocking(true).map_err(lost)?;
        let mut control = tokio::net::UnixStream::from_std(control).map_err(lost)?;
        let mut words = Vec::new();
        control.read_to_end(&mut words).await.map_err(lost)?;
        let status = self.child.wait().await.map_err(lost)?;
        self.gone = true;
        Report::from_line(&words).ok_or_else(|| {
            let message = format!("the supervisor of {} died ({status})", self.name);
            Error::new(ErrorKind::Unavailable, message).with_code("supervisor_died")
        })
    }
}

impl Drop for Tree {
    /// Blocks for as long as the processes take to die, some milliseconds: whoever drops a run goes on to remove what
    /// its processes write to, and must find them dead.
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let dying = self
            .control
            .shutdown(Shutdown::Write)
            .and_then(|()| self.control.set_nonblocking(false))
            .and_then(|()| self.control.set_read_timeout(Some(self.grace + DROPPED)))
            .and_then(|()| self.control.read_to_end(&mut Vec::new()));
        if let Err(e) = dying {
            tracing::warn!("processes of {} are still dying: {e}", self.name);
        }
    }
}
