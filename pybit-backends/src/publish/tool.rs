//! The programs that a repository is made with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind, Result};

use crate::exec::{Cmd, Exec};

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its exit code, or the negated number of the signal that ended it.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Done {
    /// What kept it from its work, where that was the system and not what it worked on: said in `strerror(3)`'s words,
    /// or by reprepro as 256 minus `errno`.
    pub(super) fn trouble(&self) -> Option<ErrorKind> {
        const ENOSPC: i32 = 28;
        let said = |words: &[&str]| {
            words.iter().any(|w| self.stderr.contains(w) || self.stdout.contains(w))
        };
        if self.code == 256 - ENOSPC || said(&["No space left on device", "quota exceeded"]) {
            return Some(ErrorKind::Full);
        }
        let failed = [
            "Input/output error",
            "Cannot allocate memory",
            "Read-only file system",
            "Too many open files",
            "Permission denied",
            "Resource temporarily unavailable",
        ];
        (self.code < 0 || said(&failed)).then_some(ErrorKind::Unavailable)
    }

    /// The end of what it said, on one line, for a message.
    pub(super) fn last_words(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<_> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(4)..].join(" ");
        tail.chars().filter(|c| !c.is_control()).take(600).collect()
    }
}

/// Runs a program to its end.
#[async_trait]
pub trait Tool: Send + Sync + fmt::Debug {
    /// Runs `argv` in `cwd` with these variables besides a minimal fixed set; fails where it cannot be started. Nothing that
    /// it started is left when it returns, nor when the run is given up.
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done>;
}

/// The machine's own programs, each under a supervisor, with `cwd` as their home.
#[derive(Debug, Clone)]
pub struct MachineTools {
    exec: Exec,
}

impl MachineTools {
    /// How long one run may take; the largest include copies and digests some gigabytes.
    const LONGEST: Duration = Duration::from_hours(1);
    /// Bytes that are kept of each output; a run that says more fails, [`ErrorKind::TooLarge`].
    const MOST_SAID: usize = 16 << 20;

    /// Programs started by `exec`, as its user, who must be able to write the repository.
    pub fn new(exec: Exec) -> Self {
        Self { exec }
    }
}

#[async_trait]
impl Tool for MachineTools {
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done> {
        let mut cmd = Cmd::new(argv, cwd)
            .var("HOME", cwd.display().to_string())
            .var("LC_ALL", "C.UTF-8")
            .within(Self::LONGEST);
        cmd.vars.extend(vars.clone());
        let output = self.exec.output(&cmd, Self::MOST_SAID).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        match output.exit {
            Exit::Code(code) => Ok(Done { code, stdout, stderr }),
            Exit::Signal(signal) => Ok(Done { code: -signal, stdout, stderr }),
            other => {
                let message = format!("{} was ended before it was done ({other:?})", argv[0]);
                Err(Error::new(ErrorKind::Unavailable, message).with_op("publish"))
            }
        }
    }
}
