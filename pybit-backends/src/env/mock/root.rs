//! The root of one job, which mock keeps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use nix::unistd::Gid;
use pybit_core::build::{LogSink, Prepared, StepLimits};
use pybit_core::format::{Exit, Place, Step, Surroundings};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::MockName;
use super::leftovers::Entry;
use crate::env::BuildUser;
use crate::env::home::Home;
use crate::env::host::on_machine;
use crate::exec::{Cmd, Exec, one_line};

/// What the steps of a format call the program.
const MOCK: &str = "mock";
/// mock unmounts what it has mounted when it gets a SIGTERM. A cancelled job's processes are gone within three seconds; that
/// it has ended is told when its root is removed, too.
const GRACE: Duration = Duration::from_millis(1500);
/// Removing a root takes as long as its tens of thousands of files do; less than the client's patience with an environment.
const SCRUBBING: Duration = Duration::from_secs(100);
/// The most that mock says while it removes a root.
const SCRUB_SAYS: usize = 4 << 20;

/// mock on this machine, and who runs it.
#[derive(Debug, Clone)]
pub(super) struct Mock {
    program: PathBuf,
    user: BuildUser,
    group: Gid,
    /// Starts what runs as the build user.
    exec: Exec,
    /// Starts what becomes the build user by itself, with one group more.
    root: Exec,
}

impl Mock {
    pub(super) fn new(program: PathBuf, user: BuildUser, group: Gid, exec: Exec) -> Self {
        let root = Exec::new(exec.supervisor().clone(), None);
        Self { program, user, group, exec, root }
    }

    pub(super) fn user(&self) -> &BuildUser {
        &self.user
    }

    /// mock with these arguments, as the build user in mock's group: other groups are not kept.
    /// `home` is no place that a build writes to: mock runs the settings that it finds there.
    fn command(&self, cmd: Cmd, words: &[String], home: &str) -> Cmd {
        let mut argv = vec![
            "setpriv".to_owned(),
            format!("--reuid={}", self.user.uid),
            format!("--regid={}", self.user.gid),
            format!("--groups={}", self.group),
            "--".to_owned(),
            self.program.display().to_string(),
        ];
        argv.extend_from_slice(words);
        let mut cmd = Cmd { argv, grace: GRACE, ..cmd };
        let name = self.user.name.as_str();
        for (variable, value) in [("HOME", home), ("USER", name), ("LOGNAME", name)] {
            cmd.vars.insert(variable.to_owned(), value.to_owned());
        }
        cmd
    }

    /// Removes the root that these name, and the bootstrap root beside it, which has the same extension; nothing where there
    /// is none. Nobody stops it.
    pub(super) async fn scrub(&self, config: &MockName, unique: &str) -> Result<()> {
        let unique_word = format!("--uniqueext={unique}");
        let home = self.user.home.display().to_string();
        let words = ["-r", config.as_str(), &unique_word, "--scrub=chroot", "--scrub=bootstrap"];
        let cmd = self.command(
            Cmd::new([MOCK], Path::new("/")).within(SCRUBBING),
            &words.map(str::to_owned),
            &home,
        );
        let output = self.root.output(&cmd, SCRUB_SAYS).await?;
        if output.exit == Exit::Code(0) {
            return Ok(());
        }
        let why = one_line(&output.complaint());
        let message =
            format!("mock does not remove its root {config} {unique} ({:?}): {why}", output.exit);
        Err(Error::new(ErrorKind::Unavailable, message).with_code("files_left"))
    }
}

#[derive(Debug)]
pub(super) struct MockRoot {
    mock: Mock,
    config: MockName,
    unique: String,
    entry: Entry,
    store: PathBuf,
    home: Home,
    stop: CancellationToken,
    /// Whether mock may have made something. Held while a step runs, so that destroying waits for its end.
    made: Mutex<bool>,
}

impl MockRoot {
    pub(super) fn new(
        mock: Mock,
        config: MockName,
        unique: String,
        entry: Entry,
        store: PathBuf,
        home: Home,
    ) -> Self {
        Self {
            mock,
            config,
            unique,
            entry,
            store,
            home,
            stop: CancellationToken::new(),
            made: Mutex::new(false),
        }
    }
}

#[async_trait]
impl Prepared for MockRoot {
    fn surroundings(&self) -> Surroundings {
        Surroundings::Mock {
            config: self.config.to_string(),
            unique: self.unique.clone(),
            store: self.store.clone(),
        }
    }

    async fn run(&self, step: &Step, limits: &StepLimits, log: &dyn LogSink) -> Result<Exit> {
        let mut made = self.made.lock().await;
        if step.place != Place::Machine {
            let message = "a step inside was asked of mock, which takes only commands of its own";
            return Err(Error::internal(message));
        }
        let cmd = on_machine(step, limits, &self.home, self.home.dir());
        let Some(words) = step.argv.strip_prefix(&[MOCK.to_owned()]) else {
            return self.mock.exec.run_until(&cmd, log, &self.stop).await;
        };
        if !*made {
            self.entry.note(&self.config)?;
            *made = true;
        }
        self.mock
            .root
            .run_until(&self.mock.command(cmd, words, &self.home.path()), log, &self.stop)
            .await
    }

    async fn stop(&self) -> Result<()> {
        self.stop.cancel();
        let _ended = self.made.lock().await;
        Ok(())
    }

    async fn destroy(&self) -> Result<()> {
        self.stop.cancel();
        let mut made = self.made.lock().await;
        if *made {
            self.mock.scrub(&self.config, &self.unique).await?;
            self.entry.forget()?;
            *made = false;
        }
        self.home.remove().await
    }
}
