//! The programs that a repository is made with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use pybit_core::{Error, ErrorKind, Result};

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its exit code; negative where a signal ended it.
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
    /// Runs `argv` in `cwd` with these variables besides a minimal fixed set; fails where it cannot be started.
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done>;
}

/// The machine's own programs; a run that is given up ends its program.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineTools;

#[async_trait]
impl Tool for MachineTools {
    #[expect(
        clippy::disallowed_methods,
        reason = "until the one place that starts processes is there"
    )]
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done> {
        let (program, rest) =
            argv.split_first().ok_or_else(|| Error::internal("a command needs a program"))?;
        let output = tokio::process::Command::new(program)
            .args(rest)
            .current_dir(cwd)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", cwd)
            .envs(vars)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let output = output.map_err(|e| {
            let message = format!("{program} cannot be started: {e}");
            Error::new(ErrorKind::Unavailable, message).with_source(e)
        })?;
        Ok(Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
