//! What to run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pybit_core::build::StepLimits;
use pybit_core::resources::Resources;

use super::Exec;

/// Where programs are looked for, inside and outside of environments.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command: an argument vector with its surroundings. Its standard input is empty unless it is given some; its environment holds nothing but
/// `PATH`, `HOME`, `USER`, `LOGNAME`, `LANG`, `TZ`, `TMPDIR` and [`vars`](Self::vars).
#[derive(Clone)]
pub struct Cmd {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The directory it starts in.
    pub cwd: PathBuf,
    /// Variables; they win over the fixed ones.
    pub vars: BTreeMap<String, String>,
    /// What it reads on its standard input, at most 4096 bytes.
    pub input: String,
    /// Bounds; [`Exec::output`] uses `wall` alone.
    pub limits: StepLimits,
    /// The directory that holds all that its processes write to the disk; [`limits`](Self::limits) bound its size.
    pub room: PathBuf,
    /// What its processes get to end by themselves after a SIGTERM, before they are killed; zero kills at once.
    pub grace: Duration,
}

/// What the buffer of a pipe holds at once (`PIPE_BUF` of `pipe(7)`), so that nobody has to wait for a reader.
pub(super) const LONGEST_INPUT: usize = 4096;

impl fmt::Debug for Cmd {
    /// Without input and what the variables hold: either may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cmd")
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("vars", &self.vars.keys())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Cmd {
    /// A command in `cwd` that may take ten minutes and write 64 MiB.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>, cwd: &Path) -> Self {
        let wall = Duration::from_mins(10);
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: cwd.to_owned(),
            vars: BTreeMap::new(),
            input: String::new(),
            room: cwd.to_owned(),
            limits: StepLimits {
                wall,
                silent: wall,
                log_bytes: 64 << 20,
                resources: Resources::default(),
            },
            grace: Duration::ZERO,
        }
    }

    /// Sets a variable.
    pub fn var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    /// Gives it something to read.
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = text.into();
        self
    }

    /// Sets how long it may take, silent or not.
    pub fn within(mut self, wall: Duration) -> Self {
        self.limits.wall = wall;
        self.limits.silent = wall;
        self
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        self.argv.first().map_or("", |p| p.rsplit('/').next().unwrap_or(p))
    }

    /// The whole environment that it is started with.
    pub(super) fn environment(&self, exec: &Exec) -> BTreeMap<String, String> {
        let (home, name) = match exec.user() {
            Some(user) => (user.home.display().to_string(), user.name.clone()),
            None => (inherited("HOME", "/"), inherited("USER", "pybit")),
        };
        let fixed = [
            ("PATH", PATH.to_owned()),
            ("HOME", home),
            ("USER", name.clone()),
            ("LOGNAME", name),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("TMPDIR", "/tmp".to_owned()),
        ];
        let mut all: BTreeMap<_, _> = fixed.map(|(k, v)| (k.to_owned(), v)).into();
        all.extend(self.vars.clone());
        all
    }
}

fn inherited(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}
