//! The supervisor process: starts one command, and leaves nothing of it behind.
//!
//! Its standard input is a socket to the pybit process. A job comes over it in one line; after that, its end means
//! "kill everything": the pybit process closes its half to stop the command, and the kernel does when pybit dies, even
//! by `SIGKILL`. The report goes back over the same socket; both outputs belong to the command.

mod kill;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};
use pybit_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::cmd::LONGEST_INPUT;
use super::limits::Detour;

/// The mask of every command: group and others may read what it writes, as Debian's policy and rpm's macros expect.
const UMASK: u32 = 0o022;

/// What to start.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) argv: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) vars: BTreeMap<String, String>,
    /// What it reads on its standard input.
    pub(super) input: String,
    /// User and group to become; nobody else's groups are kept.
    pub(super) owner: Option<(u32, u32)>,
    /// What the processes get to end by themselves when they are to be killed.
    pub(super) grace: Duration,
    /// Control groups that the command belongs to.
    pub(super) detours: Vec<Detour>,
}

/// How it ended; nothing of it is left.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    Code(i32),
    Signal(i32),
    Stopped,
    CannotStart(String),
}

impl Job {
    pub(super) fn to_line(&self) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)
            .map_err(|e| Error::invalid("a command cannot be written down").with_source(e))?;
        line.push(b'\n');
        Ok(line)
    }
}

impl Report {
    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// The supervisor's `main`: `args` is what follows the verb. Without arguments it supervises; with `enter …` it is
/// the way into an unpacked root, and with `unpack …` it unpacks an uploaded tree as the build user.
pub fn main(args: impl IntoIterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.into_iter().collect();
    keep_to_ourselves();
    match args.split_first() {
        None => supervise(),
        Some((verb, rest)) if verb == "enter" => super::enter::main(rest),
        Some((verb, rest)) if verb == "unpack" => crate::source::unpack::main(rest),
        Some(_) => complain("it is started by pybit itself, with no arguments"),
    }
}

/// Takes from the commands what this process has from those that started it: every descriptor but the three that are
/// theirs, and the mask of the modes of new files.
fn keep_to_ourselves() {
    close_fds::set_fds_cloexec(3, &[]);
    umask(Mode::from_bits_truncate(UMASK));
}

fn supervise() -> ExitCode {
    // A session of its own: no terminal to read from, and no Ctrl-C meant for pybit. A session leader has one already.
    let _ = setsid();
    if let Err(e) = prctl::set_child_subreaper(true) {
        return complain(&format!("it cannot become a subreaper: {e}"));
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let job: Job = match read
        .map_err(|e| e.to_string())
        .and_then(|_| serde_json::from_str(&line).map_err(|e| e.to_string()))
    {
        Ok(job) => job,
        Err(e) => return complain(&format!("it was given no job: {e}")),
    };
    let report = match start(&job) {
        Ok(pid) => match watch(pid, job.grace) {
            Ok(report) => report,
            Err(e) => return complain(&format!("it cannot watch the command: {e}")),
        },
        Err(e) => Report::CannotStart(e.to_string()),
    };
    send(&report)
}

fn complain(why: &str) -> ExitCode {
    // Where standard error is gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "pybit supervise: {why}");
    ExitCode::FAILURE
}

fn send(report: &Report) -> ExitCode {
    let told = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| std::fs::File::from(fd).write_all(&serde_json::to_vec(report)?));
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn start(job: &Job) -> std::io::Result<Pid> {
    let (program, rest) = job.argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    if !job.cwd.is_dir() {
        let message = format!("there is no directory {}", job.cwd.display());
        return Err(std::io::Error::other(message));
    }
    let mut command = Command::new(program);
    command.args(rest).current_dir(&job.cwd).env_clear().envs(&job.vars).stdin(input(job)?);
    if let Some((uid, gid)) = job.owner {
        command.uid(uid).gid(gid);
    }
    // The command is born into its groups; this process goes back, so that it outlives what is killed there.
    let all = job.detours.iter();
    all.clone().try_for_each(|detour| join(&detour.into))?;
    let mut child = command.spawn()?;
    if let Err(e) = all.rev().try_for_each(|detour| join(&detour.back)) {
        // A command that nobody watches must not stay.
        let _ = child.kill();
        let _ = child.wait();
        return Err(e);
    }
    Ok(Pid::from_raw(i32::try_from(child.id()).map_err(std::io::Error::other)?))
}

/// Moves this process into a control group.
fn join(procs: &Path) -> std::io::Result<()> {
    let moved =
        std::fs::OpenOptions::new().write(true).open(procs).and_then(|mut f| f.write_all(b"0"));
    moved.map_err(|e| std::io::Error::other(format!("{} cannot be joined: {e}", procs.display())))
}

/// A pipe that holds what the command reads, and ends there.
fn input(job: &Job) -> std::io::Result<Stdio> {
    if job.input.is_empty() {
        return Ok(Stdio::null());
    }
    if job.input.len() > LONGEST_INPUT {
        return Err(std::io::Error::other("its input is longer than a pipe holds"));
    }
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(job.input.as_bytes())?;
    Ok(Stdio::from(reader))
}

/// Waits for the command's end or the order to kill it, and leaves nothing alive in either case.
fn watch(main: Pid, grace: Duration) -> nix::Result<Report> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Only now: the command would inherit the mask.
    signals.thread_block()?;
    let wakeups = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let stdin = std::io::stdin();
    let mut ended = reap(main);
    while ended.is_none() {
        if told_to_stop(stdin.as_fd(), &wakeups)? {
            kill::ask(&wakeups, grace)?;
            kill::descendants(&wakeups)?;
            return Ok(Report::Stopped);
        }
        ended = reap(main);
    }
    kill::descendants(&wakeups)?;
    Ok(ended.unwrap_or(Report::Stopped))
}

/// Sleeps until something happens; whether that is a reason to kill.
fn told_to_stop(stdin: BorrowedFd<'_>, wakeups: &SignalFd) -> nix::Result<bool> {
    let mut fds =
        [PollFd::new(stdin, PollFlags::POLLIN), PollFd::new(wakeups.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(e) => return Err(e),
    }
    // Nothing is ever sent after the job: the socket becomes readable when it has ended.
    let hung_up = fds[0].revents().is_some_and(|r| !r.is_empty());
    let mut told = false;
    while let Ok(Some(info)) = wakeups.read_signal() {
        told |= info.ssi_signo != Signal::SIGCHLD as u32;
    }
    Ok(hung_up || told)
}

/// Reaps every dead child; how `main` ended, if it is among them.
fn reap(main: Pid) -> Option<Report> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => ended = Some(Report::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                ended = Some(Report::Signal(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(_) => {}
        }
    }
}
