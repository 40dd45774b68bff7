//! The root of one job.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{LogSink, Prepared, StepLimits};
use pybit_core::format::{Exit, Place, Step, Surroundings};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::namespace::{INSIDE, Namespace};
use super::trash::Trash;
use super::{disk, give, make_dir};
use crate::build_repository::FARM_DIR;
use crate::env::home::Home;
use crate::env::host::on_machine;
use crate::exec::enter::{Entry, FAILED};
use crate::exec::{Cmd, Exec, one_line};

/// Unpacking half a gigabyte takes seconds; on a slow disk that others use too, minutes.
const UNPACKING: Duration = Duration::from_mins(20);

#[derive(Debug)]
pub(super) struct SbuildRoot {
    exec: Exec,
    namespace: Namespace,
    tarball: PathBuf,
    trash: Arc<Trash>,
    work: PathBuf,
    scratch: PathBuf,
    stop: CancellationToken,
    /// Whether the root for steps inside is unpacked. Held while a step runs, so that destroying waits for its end.
    unpacked: Mutex<bool>,
}

impl SbuildRoot {
    pub(super) fn new(
        exec: Exec,
        namespace: Namespace,
        tarball: PathBuf,
        work: &Path,
        trash: Arc<Trash>,
    ) -> Self {
        Self {
            exec,
            namespace,
            tarball,
            trash,
            work: work.to_owned(),
            scratch: work.join("scratch"),
            stop: CancellationToken::new(),
            unpacked: Mutex::new(false),
        }
    }

    /// Makes the directory that roots are unpacked in, without what a killed client has left there.
    pub(super) async fn make_scratch(&self) -> Result<()> {
        self.trash.take(&self.exec, self.namespace, &self.scratch).await?;
        make_dir(&self.scratch)?;
        let config = self.sbuild_config();
        let template = self.scratch.join("root.XXXXXXXXXX").display().to_string();
        let template = template.replace('\\', "\\\\").replace('\'', "\\'");
        let farm = self.scratch.join(FARM_DIR).display().to_string();
        let farm = farm.replace('\\', "\\\\").replace('\'', "\\'");
        // With the second, the index of the build dependencies is updated before that of the farm's packages: the hook of
        // deb/farm.pl runs in between.
        let text = format!(
            "$unshare_tmpdir_template = '{template}';\n$apt_update_archive_only = 1;\n\
             $unshare_bind_mounts = [{{ directory => '{farm}', mountpoint => '/{FARM_DIR}' }}] if -d '{farm}';\n1;\n"
        );
        std::fs::write(&config, text).map_err(|e| disk("write", &config, e))?;
        self.helper(vec![])?;
        Home::make(&self.scratch, self.exec.user())?;
        make_dir(&self.root())?;
        give(&self.root(), self.exec.user())?;
        give(&self.scratch, self.exec.user())
    }

    fn helper(&self, args: Vec<String>) -> Result<Vec<String>> {
        self.exec.helper(&self.scratch, args)
    }

    fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }

    fn sbuild_config(&self) -> PathBuf {
        self.scratch.join("sbuild.conf")
    }

    /// The command of a step, on the machine or inside.
    fn command(&self, step: &Step, limits: &StepLimits) -> Result<Cmd> {
        let mut cmd = on_machine(step, limits, &Home::at(&self.scratch), &self.work);
        if step.place == Place::Machine {
            let text = |path: &Path| path.display().to_string();
            if !step.vars.contains_key("TMPDIR") {
                // The users of the namespace have no way into the build user's own.
                cmd.vars.insert("TMPDIR".to_owned(), text(&self.scratch));
            }
            cmd.vars
                .entry("SBUILD_CONFIG".to_owned())
                .or_insert_with(|| text(&self.sbuild_config()));
            return Ok(cmd);
        }
        for (name, value) in
            [("HOME", "/nonexistent"), ("TMPDIR", "/tmp"), ("USER", "pybit"), ("LOGNAME", "pybit")]
        {
            if !step.vars.contains_key(name) {
                cmd.vars.insert(name.to_owned(), value.to_owned());
            }
        }
        let entry = Entry {
            root: self.root(),
            work: self.work.clone(),
            cwd: step.cwd.clone(),
            network: step.network,
            id: if step.place == Place::Root { 0 } else { INSIDE },
        };
        let argv = self.helper(entry.to_args(&step.argv))?;
        let mut more = vec!["--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"];
        if !step.network {
            more.push("--net");
        }
        cmd.argv = self.namespace.as_root(&more, &argv);
        cmd.cwd = PathBuf::from("/");
        Ok(cmd)
    }

    /// Unpacks the tarball for the steps inside; whether it is there now, or the job was stopped.
    async fn unpack(&self, log: &dyn LogSink) -> Result<bool> {
        let tarball = self.tarball.display().to_string();
        let dir = self.root().display().to_string();
        let argv =
            ["tar", "-x", "-f", &tarball, "-C", &dir, "--numeric-owner", "--exclude=./dev/*"];
        let argv = self.namespace.as_root(&[], &argv.map(str::to_owned));
        let cmd = Cmd::new(argv, Path::new("/")).within(UNPACKING);
        match self.exec.run_until(&cmd, log, &self.stop).await? {
            Exit::Code(0) => Ok(true),
            Exit::Stopped => Ok(false),
            exit => {
                let message = format!("the root {tarball} cannot be unpacked ({exit:?})");
                Err(Error::new(ErrorKind::Unavailable, message).with_code("root_failed"))
            }
        }
    }

    /// What sbuild could not unmount or remove keeps its root; its processes are dead, so its mounts are gone.
    fn left(&self) -> Result<()> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let scratch = self.scratch.display().to_string();
        let left: Vec<_> = mounts.lines().filter(|l| l.contains(&scratch)).collect();
        if left.is_empty() && !self.scratch.exists() {
            return Ok(());
        }
        let message = format!("{scratch} is not gone; {}", one_line(&left.join("\n")));
        Err(Error::new(ErrorKind::Unavailable, message).with_code("files_left"))
    }
}

#[async_trait]
impl Prepared for SbuildRoot {
    fn surroundings(&self) -> Surroundings {
        Surroundings::Sbuild { tarball: self.tarball.clone(), scratch: self.scratch.clone() }
    }

    async fn run(&self, step: &Step, limits: &StepLimits, log: &dyn LogSink) -> Result<Exit> {
        let mut unpacked = self.unpacked.lock().await;
        if step.place != Place::Machine && !*unpacked {
            *unpacked = self.unpack(log).await?;
            if !*unpacked {
                return Ok(Exit::Stopped);
            }
        }
        let cmd = self.command(step, limits)?;
        let exit = self.exec.run_until(&cmd, log, &self.stop).await?;
        if step.place != Place::Machine && exit == Exit::Code(FAILED.into()) {
            let message = "the build environment cannot be entered; the log's end says why";
            return Err(Error::new(ErrorKind::Unavailable, message).with_code("root_failed"));
        }
        Ok(exit)
    }

    async fn stop(&self) -> Result<()> {
        self.stop.cancel();
        let _ended = self.unpacked.lock().await;
        Ok(())
    }

    async fn destroy(&self) -> Result<()> {
        self.stop().await?;
        self.trash.take(&self.exec, self.namespace, &self.scratch).await?;
        self.left()
    }
}
