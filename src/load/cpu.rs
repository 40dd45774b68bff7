//! CPU time of the processes of a farm while something is measured: who takes the cores.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::figures::{Figures, rate};

/// Ticks a second in `/proc/<pid>/stat`: `USER_HZ`, which is 100 on every machine that Debian has a release for (proc(5)).
const TICKS: u64 = 100;

/// A program that serves a port, as far as it runs on this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    /// What the figures call it.
    pub(super) name: &'static str,
    /// Where it listens.
    pub(super) port: u16,
}

/// The CPU time of each program until now. Those whose process is not seen are left out.
#[derive(Debug)]
pub(super) struct Meter {
    since: Vec<(&'static str, PathBuf, u64)>,
}

impl Meter {
    /// Looks at the servers, and at this process, which simulates the clients.
    pub(super) fn start(served: &[Served]) -> Self {
        let processes = served.iter().filter_map(|s| Some((s.name, listener(s.port)?)));
        let clients = ("pybit load", PathBuf::from("/proc/self"));
        let all = processes.chain([clients]);
        Self {
            since: all.filter_map(|(name, dir)| Some((name, dir.clone(), used(&dir)?))).collect(),
        }
    }

    /// Says how much each took since then, for each of `count` things.
    pub(super) fn stop(self, figures: &mut Figures, thing: &str, count: u64) {
        for (name, dir, before) in self.since {
            let Some(now) = used(&dir) else { continue };
            let ticks = Duration::from_millis(now.saturating_sub(before) * 1000 / TICKS);
            if count > 0 && !ticks.is_zero() {
                let each = 1e3 / rate(count, ticks);
                figures.add(format!("CPU of {name} for a {thing}"), each, "ms", None);
            }
        }
    }
}

/// Ticks of a process, of its children, and of those of its children that have ended.
fn used(dir: &Path) -> Option<u64> {
    let of_its_own = Stat::read(dir)?;
    let children = processes().filter_map(|dir| Stat::read(&dir));
    let living = children.filter(|child| child.parent == of_its_own.pid).map(|child| child.ticks);
    Some(of_its_own.ticks + living.sum::<u64>())
}

/// What proc(5) calls `pid`, `ppid`, and the sum of `utime`, `stime`, `cutime` and `cstime`.
struct Stat {
    pid: u64,
    parent: u64,
    ticks: u64,
}

impl Stat {
    fn read(dir: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(dir.join("stat")).ok()?)
    }

    /// The name in parentheses may hold anything, parentheses too.
    fn parse(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(" (")?;
        let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
        let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self { pid: pid.parse().ok()?, parent: number(1)?, ticks })
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(|e| e.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .map(|e| e.path())
}

/// The process that listens on a port of this machine, where this one may see it.
fn listener(port: u16) -> Option<PathBuf> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let sockets: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| table.lines())
        .filter_map(|line| listens(line, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let has = |dir: &PathBuf| {
        let mut open = std::fs::read_dir(dir.join("fd")).into_iter().flatten().flatten();
        open.any(|fd| {
            let to = std::fs::read_link(fd.path()).unwrap_or_default();
            sockets.iter().any(|socket| to.as_os_str() == socket.as_str())
        })
    };
    processes().find(has)
}

/// The inode of a listening socket with this port, from a line of proc(5)'s `/proc/net/tcp`.
fn listens(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, at) = fields.get(1)?.rsplit_once(':')?;
    (u16::from_str_radix(at, 16) == Ok(port) && fields.get(3) == Some(&LISTEN))
        .then(|| fields.get(9).copied())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found_and_its_time_grows() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listener(port).unwrap();
        let me = std::process::id();
        assert_eq!(found, PathBuf::from(format!("/proc/{me}")));
        let (start, mut sum) = (used(&found).unwrap(), 0_u64);
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while used(&found).unwrap() == start && std::time::Instant::now() < deadline {
            sum = std::hint::black_box((0..100_000_u64).fold(sum, u64::wrapping_add));
        }
        assert!(used(&found).unwrap() > start);
        drop(socket);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn a_name_with_parentheses_is_no_field() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 0 0 0 100 20 3 4 20 0 1 0 5";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.ticks), (42, 7, 127));
    }
}
