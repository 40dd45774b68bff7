//! Processes that may die: started, watched, started again, ended.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How a process is started.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dir: PathBuf,
}

/// A command that dies with the thread that starts it, in a process group of its own.
#[expect(clippy::disallowed_methods, reason = "the harness is what starts a farm's processes")]
pub(crate) fn command(argv: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(argv).stdin(Stdio::null()).process_group(0);
    command
}

/// Runs a tool to its end; what it said.
pub(crate) fn tool(argv: &[&str]) -> Result<String, String> {
    let argv: Vec<String> = argv.iter().map(|a| (*a).to_owned()).collect();
    let out = command(&argv).output().map_err(|e| format!("{argv:?}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(format!("{argv:?}: {}", String::from_utf8_lossy(&out.stderr).trim()))
}

/// A process of the farm.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) spec: Spec,
    child: Option<Child>,
    /// A fault keeps it down.
    pub(crate) held: bool,
    /// Starts so far, and ends that no fault asked for.
    pub(crate) starts: u32,
    pub(crate) surprises: Vec<String>,
}

impl Process {
    pub(crate) fn new(spec: Spec) -> Self {
        Self { spec, child: None, held: false, starts: 0, surprises: Vec::new() }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.spec.dir.join(format!("{}.log", self.spec.name))
    }

    pub(crate) fn start(&mut self) -> std::io::Result<()> {
        let out = File::options().create(true).append(true).open(self.log())?;
        let mut command = command(&self.spec.argv);
        command.current_dir(&self.spec.dir).envs(self.spec.env.iter().cloned());
        for key in ["PYBIT_URL", "PYBIT_TOKEN", "PYBIT_CONFIG"] {
            command.env_remove(key);
        }
        command.stdout(out.try_clone()?).stderr(out);
        self.child = Some(command.spawn()?);
        self.starts += 1;
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again if it is gone and nobody holds it down.
    pub(crate) fn tend(&mut self) {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            self.surprises.push(status.to_string());
            self.child = None;
        }
        if self.child.is_none() && !self.held && self.starts > 0 {
            let _ = self.start();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Resident memory in KiB and open files of a process.
pub(crate) fn usage(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let rss = line.split_whitespace().next()?.parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some((rss, files))
}

/// Every process, with its parent and what it is called.
pub(crate) fn all() -> Vec<(u32, u32, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let read = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_string_lossy().parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent, name.to_owned()))
    };
    entries.flatten().filter_map(read).collect()
}

/// The processes below one, the deepest too.
pub(crate) fn below(pid: u32) -> Vec<(u32, String)> {
    let all = all();
    let (mut found, mut parents) = (Vec::new(), vec![pid]);
    while let Some(parent) = parents.pop() {
        for (child, _, name) in all.iter().filter(|(_, p, _)| *p == parent) {
            parents.push(*child);
            found.push((*child, name.clone()));
        }
    }
    found
}

/// Sends a signal to a process that may be gone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// Whether a process is there.
pub(crate) fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok()
}
