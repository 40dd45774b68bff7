//! Processes of a farm: started, ended, looked for.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::PYBIT;

/// A process of the farm, killed with the test.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts `pybit` with these words, its output into a file.
    pub(crate) fn start(name: &str, dir: &Path, args: &[&str]) -> Self {
        Self::start_with(name, dir, args, &[])
    }

    /// The same, with more variables.
    pub(crate) fn start_with(name: &str, dir: &Path, args: &[&str], vars: &[(&str, &str)]) -> Self {
        Self::start_as(name, dir, &[&[PYBIT], args].concat(), vars)
    }

    /// Starts a command that becomes `pybit`.
    pub(crate) fn start_as(name: &str, dir: &Path, argv: &[&str], vars: &[(&str, &str)]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(argv[0])
            .args(&argv[1..])
            .current_dir(dir)
            .env_remove("PYBIT_URL")
            .env_remove("PYBIT_TOKEN")
            .envs(vars.iter().copied())
            .env("PYBIT_LOG", "info,sqlx=warn,lapin=off,pybit_core::traced=trace")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Ends it as a crash would: signal 9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal by its name: `STOP` lets it stand still, `CONT` go on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.said());
        }
    }
}

/// Processes whose environment or command line holds `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let holds = |file: &str| {
            std::fs::read(entry.path().join(file))
                .is_ok_and(|b| String::from_utf8_lossy(&b).contains(marker))
        };
        if pid != std::process::id() && (holds("cmdline") || holds("environ")) {
            found.push(pid);
        }
    }
    found
}
