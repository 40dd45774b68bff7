//! Kills every descendant of this process, whatever session, group or namespace it went to.
//!
//! A descendant cannot get out of the graph of parents: this process is a subreaper, so orphans come to it, and a
//! process namespace dies with its first process.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// Rounds of stopping before killing starts all the same.
const ROUNDS: u32 = 64;

/// Asks every descendant to end, by SIGTERM, and waits for that as long as `grace`; with none, asks nobody.
pub(super) fn ask(wakeups: &SignalFd, grace: Duration) -> nix::Result<()> {
    if grace.is_zero() {
        return Ok(());
    }
    for pid in list() {
        // It may have ended in the meantime.
        let _ = kill(pid, Signal::SIGTERM);
    }
    let start = Instant::now();
    while reap() == Left::Somebody {
        let Some(left) = grace.checked_sub(start.elapsed()) else { return Ok(()) };
        let mut fds = [PollFd::new(wakeups.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, u8::try_from(left.as_millis()).unwrap_or(u8::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
        while let Ok(Some(_)) = wakeups.read_signal() {}
    }
    Ok(())
}

/// Kills and reaps until none is left. Without children there are no descendants, and `/proc` need not be read.
pub(super) fn descendants(wakeups: &SignalFd) -> nix::Result<()> {
    if reap() == Left::Nobody {
        return Ok(());
    }
    freeze();
    loop {
        for pid in list() {
            // It may have died in the meantime.
            let _ = kill(pid, Signal::SIGKILL);
        }
        if reap() == Left::Nobody {
            return Ok(());
        }
        let mut fds = [PollFd::new(wakeups.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, 5_u8) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
        while let Ok(Some(_)) = wakeups.read_signal() {}
    }
}

/// Stops all of them first, so that none can start another while they are killed one by one.
fn freeze() {
    let mut frozen = HashSet::new();
    for _ in 0..ROUNDS {
        let new: Vec<_> = list().into_iter().filter(|pid| frozen.insert(*pid)).collect();
        if new.is_empty() {
            return;
        }
        for pid in new {
            let _ = kill(pid, Signal::SIGSTOP);
        }
    }
}

/// Whether this process has children.
#[derive(PartialEq, Eq)]
enum Left {
    Somebody,
    Nobody,
}

/// Reaps every dead child, also one that asked for no `SIGCHLD` (`__WALL` in waitpid(2)).
fn reap() -> Left {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Left::Nobody,
            Ok(WaitStatus::StillAlive) | Err(_) => return Left::Somebody,
            Ok(_) => {}
        }
    }
}

/// Every descendant, the dead that nobody has reaped among them.
fn list() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        let Ok(stat) = std::fs::read(entry.path().join("stat")) else { continue };
        if let Some(parent) = parent_in(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw()];
    while let Some(parent) = open.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            found.push(Pid::from_raw(pid));
            open.push(pid);
        }
    }
    found
}

/// The parent in a line of `/proc/PID/stat`, `pid (name) state ppid …`; the name may hold anything, parentheses too.
fn parent_in(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parent_in;

    #[test]
    fn a_process_name_cannot_forge_its_parent() {
        assert_eq!(parent_in(b"12 (a) S 1 (b) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in(b"12 (\xff x) R 3 12"), Some(3));
        assert_eq!(parent_in(b"12"), None);
    }
}
