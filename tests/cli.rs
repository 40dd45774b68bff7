//! The `pybit` command as people and scripts use it: the built program, its output, its exit codes. What needs a server
//! starts a real one; nothing here builds a package.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "the tests start the program that people start")]

#[expect(dead_code, reason = "the end-to-end tests use the rest of it")]
mod support;

#[path = "cli/accounts.rs"]
mod accounts;
#[path = "cli/catalogue.rs"]
mod catalogue;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/crowd.rs"]
mod crowd;
#[expect(dead_code, reason = "the tests against the original's faults use the rest of it")]
#[path = "original/proxy.rs"]
mod proxy;
#[path = "cli/served.rs"]
mod served;
#[path = "cli/services.rs"]
mod services;
#[path = "cli/sources.rs"]
mod sources;
#[path = "cli/storage.rs"]
mod storage;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/vercmp.rs"]
mod vercmp;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// The program, in a directory of its own that knows no server.
struct Lone {
    dir: tempfile::TempDir,
}

/// What a run said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Lone {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The program with these words, before it is started.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(support::PYBIT);
        for name in ["PYBIT_URL", "PYBIT_TOKEN", "PYBIT_CONFIG", "PYBIT_DATA_DIR"] {
            command.env_remove(name);
        }
        command
            .args(args)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("XDG_DATA_HOME", self.path().join("share"))
            .env("XDG_CACHE_HOME", self.path().join("cache"));
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs it with this on standard input.
    fn feed(&self, args: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // The program may answer before it has read everything; it may also end before.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        said(output)
    }

    /// A run that must be refused in one line; the line.
    fn refused(&self, args: &[&str]) -> String {
        self.run(args).refused(args)
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// The one line of a refusal, whose exit code is not 0 and that prints nothing else.
    fn refused(self, args: &[&str]) -> String {
        assert_ne!(self.code, 0, "{args:?}: {}{}", self.out, self.err);
        assert_eq!(self.out, "", "{args:?}");
        let lines: Vec<_> = self.err.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with("pybit: "), "{args:?}: {}", self.err);
        lines[0].to_owned()
    }
}
