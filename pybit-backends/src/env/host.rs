//! The machine itself as the build environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{BuildEnvironment, LogSink, Prepared, StepLimits};
use pybit_core::format::{Exit, Step, Surroundings};
use pybit_core::model::Target;
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::home::Home;
use crate::exec::{Cmd, Exec};

/// Builds on the machine itself, as the build user: nothing keeps a package from the machine's network, from what that
/// user may read, or from what is installed. So a client offers it only where its configuration allows it.
///
/// A step's `network: false` is not held here. Cutting the network takes a network namespace, and that takes root or a user
/// namespace: the one is not given where the client runs as an ordinary user, the other is forbidden on many machines and shows
/// files under other owners. A build that would be cut off on one machine and not on the next is worse than one that never is:
/// whoever wants it cut off builds in `sbuild`.
#[derive(Debug, Clone)]
pub struct HostEnvironment {
    exec: Exec,
    allowed: bool,
}

impl HostEnvironment {
    /// Runs steps with `exec`; unless `allowed`, every job is refused.
    pub fn new(exec: Exec, allowed: bool) -> Self {
        Self { exec, allowed }
    }
}

#[async_trait]
impl BuildEnvironment for HostEnvironment {
    fn name(&self) -> &'static str {
        "host"
    }

    async fn prepare(
        &self,
        _: &Target,
        work: &Path,
        log: &dyn LogSink,
    ) -> Result<Box<dyn Prepared>> {
        if !self.allowed {
            let message = "this build client does not build on the machine itself; its configuration must allow that";
            return Err(Error::new(ErrorKind::Denied, message).with_code("host_not_allowed"));
        }
        if self.exec.user().is_none() && nix::unistd::geteuid().is_root() {
            log.write(b"warning: no build user is configured, this job builds as root\n").await?;
        }
        let home = Home::make(work, self.exec.user())?;
        let work = work.to_owned();
        Ok(Box::new(Host {
            exec: self.exec.clone(),
            work,
            home,
            stop: CancellationToken::new(),
            running: Mutex::default(),
        }))
    }
}

#[derive(Debug)]
struct Host {
    exec: Exec,
    work: PathBuf,
    home: Home,
    stop: CancellationToken,
    /// Held while a step runs, so that the home is removed after its end.
    running: Mutex<()>,
}

#[async_trait]
impl Prepared for Host {
    fn surroundings(&self) -> Surroundings {
        Surroundings::Host
    }

    async fn run(&self, step: &Step, limits: &StepLimits, log: &dyn LogSink) -> Result<Exit> {
        let _running = self.running.lock().await;
        let cmd = on_machine(step, limits, &self.home, &self.work);
        self.exec.run_until(&cmd, log, &self.stop).await
    }

    async fn stop(&self) -> Result<()> {
        self.stop.cancel();
        Ok(())
    }

    async fn destroy(&self) -> Result<()> {
        self.stop.cancel();
        let _ended = self.running.lock().await;
        self.home.remove().await
    }
}

/// A step as a command on the machine, with the attempt's own home unless the step names another one; `room` is the attempt's
/// directory.
pub(super) fn on_machine(step: &Step, limits: &StepLimits, home: &Home, room: &Path) -> Cmd {
    let mut vars = step.vars.clone();
    for (name, value) in home.vars() {
        vars.entry(name.to_owned()).or_insert(value);
    }
    Cmd {
        argv: step.argv.clone(),
        cwd: step.cwd.clone(),
        vars,
        input: String::new(),
        limits: *limits,
        room: room.to_owned(),
        grace: Duration::ZERO,
    }
}
