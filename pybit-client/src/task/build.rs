//! The environment, the steps inside it, and what they leave behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use pybit_core::build::{Prepared, StepLimits};
use pybit_core::format::{BuildContext, BuildRepository, Collected, Exit, PackageFormat, Step};
use pybit_core::model::FailureClass;
use pybit_core::protocol::{Limits, RepositoryAccess, SourceReport};
use pybit_core::{Error, ErrorKind, Result};

use super::Work;
use crate::journal::{Ending, failed};
use crate::machine::Event;
use crate::user::make_dir;

/// Bytes of the log's end that a failure is classified by.
const TAIL: u64 = 256 * 1024;
/// A build that is told to stop ends within this, or its environment is destroyed around it.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How the steps ended.
enum Ran {
    Well,
    Badly(&'static str, Exit),
}

impl Work {
    pub(super) async fn prepare(&self) -> Event {
        let target = self.target();
        let environment = match self.shop.toolbox.environment(&target.env) {
            Ok(environment) => environment,
            Err(e) => return self.unable(&e).await,
        };
        self.say(&format!("preparing {} for {} {}", target.env, target.suite, target.arch)).await;
        match environment.prepare(&target, &self.dir.work(), self.spool.as_ref()).await {
            Ok(prepared) => {
                self.found().environment = Some(prepared.into());
                Event::Prepared
            }
            Err(e) if matches!(e.kind(), ErrorKind::Denied | ErrorKind::Unsupported) => {
                self.unable(&e).await
            }
            Err(e) => self.fail_by(&e, FailureClass::Infra).await,
        }
    }

    pub(super) async fn build(&self) -> Event {
        let format = match self.format() {
            Ok(format) => format,
            Err(e) => return self.fail_by(&e, FailureClass::Infra).await,
        };
        match self.run_steps(format.as_ref()).await {
            Ok(Ran::Well) => Event::Built,
            Ok(Ran::Badly(_, Exit::Stopped)) if self.found().stopping => Event::Stopped,
            Ok(Ran::Badly(_, Exit::Stopped)) => {
                self.fail(FailureClass::Unclear, "the build was stopped from outside", vec![]).await
            }
            Ok(Ran::Badly(phase, exit)) => {
                let tail = self.spool.tail(TAIL).await.unwrap_or_default();
                let verdict = format.classify(phase, exit, &tail);
                let failure = verdict.failure;
                self.fail(failure.class, &failure.message, verdict.unmet).await
            }
            // On the host a build can kill what watches it.
            Err(e) if e.code() == "supervisor_died" => {
                self.fail(FailureClass::Unclear, e.message(), vec![]).await
            }
            Err(e) => self.fail_by(&e, FailureClass::Source).await,
        }
    }

    /// Runs the steps one after the other within the job's limits, which hold for all of them together.
    async fn run_steps(&self, format: &dyn PackageFormat) -> Result<Ran> {
        let environment = self.environment()?;
        let context = self.context(environment.as_ref()).await?;
        let steps = if self.is_source_job() {
            format.source_steps(&context)?
        } else {
            format.binary_steps(&context)?
        };
        let limits = self.entry().assignment.limits;
        let start = Instant::now();
        for step in &steps {
            self.say(&format!("{}: {}", step.phase, shown(&step.argv))).await;
            let exit = self.run_step(environment.as_ref(), step, &limits, start.elapsed()).await?;
            if exit != Exit::Code(0) {
                self.say(&format!("{} ended: {exit:?}", step.phase)).await;
                return Ok(Ran::Badly(step.phase, exit));
            }
        }
        Ok(Ran::Well)
    }

    async fn run_step(
        &self,
        environment: &dyn Prepared,
        step: &Step,
        limits: &Limits,
        spent: Duration,
    ) -> Result<Exit> {
        let limits = StepLimits {
            wall: Duration::from_secs(limits.wall_secs).saturating_sub(spent),
            silent: Duration::from_secs(limits.silent_secs),
            log_bytes: self.spool.room(),
            resources: self.shop.resources,
        };
        if limits.wall.is_zero() {
            return Ok(Exit::TimedOut);
        }
        match environment.run(step, &limits, self.spool.as_ref()).await {
            Err(e) if e.code() == "log_limit" => Ok(Exit::LogLimit),
            other => other,
        }
    }

    async fn context(&self, environment: &dyn Prepared) -> Result<BuildContext> {
        let (target, work) = (self.target(), self.dir.work());
        let (indep, repositories) = {
            let entry = self.entry();
            (entry.assignment.job.master, entry.assignment.repositories.clone())
        };
        let source = self.found().source.clone();
        let repositories = keys_to_disk(work.join("keys"), repositories).await?;
        Ok(BuildContext {
            suite: target.suite,
            arch: target.arch,
            env: target.env,
            place: environment.surroundings(),
            source,
            output: work.join("output"),
            indep,
            repositories,
        })
    }

    pub(super) async fn collect(&self) -> Event {
        let (dir, blame) = {
            let found = self.found();
            if found.is_result {
                (found.source.parent().map(PathBuf::from), FailureClass::Source)
            } else {
                (Some(self.dir.work().join("output")), FailureClass::Build)
            }
        };
        let collected = match (self.format(), dir) {
            (Ok(format), Some(dir)) => format.collect(&dir, self.is_source_job()).await,
            (Err(e), _) => Err(e),
            (_, None) => Err(Error::internal("the fetched source lies in no directory")),
        };
        match collected {
            Ok(collected) => {
                self.say(&format!("collected {} files", collected.files.len())).await;
                self.ended(self.built(collected)).await;
                Event::Collected
            }
            Err(e) => self.fail_by(&e, blame).await,
        }
    }

    fn built(&self, collected: Collected) -> Ending {
        let source = self.is_source_job().then(|| SourceReport {
            main: collected.main,
            resolved: self.found().resolved.clone(),
        });
        Ending::Built { files: collected.files, source, produced: collected.produced }
    }

    /// Kills what runs and waits until it has ended; whatever else was under way is dropped already.
    pub(super) async fn stop(&self, build: Option<BoxFuture<'static, Event>>) -> Event {
        let environment = {
            let mut found = self.found();
            found.stopping = true;
            found.environment.clone()
        };
        if let (Some(environment), Some(build)) = (environment, build) {
            let both = async { tokio::join!(environment.stop(), build) };
            match tokio::time::timeout(LAST_WORDS, both).await {
                Ok((Ok(()), _)) => {}
                Ok((Err(e), _)) => tracing::error!("a build does not stop: {e}"),
                Err(_) => tracing::error!("a build does not stop in time"),
            }
        }
        self.say("stopped").await;
        Event::Stopped
    }

    fn environment(&self) -> Result<Arc<dyn Prepared>> {
        let environment = self.found().environment.clone();
        environment.ok_or_else(|| Error::internal("the build has no environment"))
    }

    fn format(&self) -> Result<Arc<dyn PackageFormat>> {
        let name = self.entry().assignment.job.target.format.clone();
        self.shop.toolbox.format(&name)
    }
}

/// A command for the log's reader: scripts of pybit's own are not repeated in every log.
fn shown(argv: &[String]) -> String {
    let word = |word: &String| if word.contains('\n') { "…".to_owned() } else { word.clone() };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Writes each repository's key to a file that the build can read.
async fn keys_to_disk(
    dir: PathBuf,
    repositories: Vec<RepositoryAccess>,
) -> Result<Vec<BuildRepository>> {
    if repositories.is_empty() {
        return Ok(vec![]);
    }
    super::blocking(move || {
        make_dir(&dir, None)?;
        let write = |(n, repository): (usize, RepositoryAccess)| {
            let key = dir.join(format!("{n}.asc"));
            std::fs::write(&key, &repository.public_key).map_err(|e| failed("write", &key, e))?;
            let RepositoryAccess { url, suite, overlay, .. } = repository;
            Ok(BuildRepository { url, suite, key, overlay })
        };
        repositories.into_iter().enumerate().map(write).collect()
    })
    .await
}
