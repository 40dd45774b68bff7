//! An environment that performs the one step: says known words, takes a known time, leaves known bytes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pybit::core::build::{BuildEnvironment, LogSink, Prepared, StepLimits};
use pybit::core::format::{Exit, Step, Surroundings};
use pybit::core::model::Target;
use pybit::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use super::bytes;

#[derive(Debug)]
pub(super) struct Stage;

#[async_trait]
impl BuildEnvironment for Stage {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn prepare(&self, _: &Target, work: &Path, _: &dyn LogSink) -> Result<Box<dyn Prepared>> {
        let name = work.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let ids = name.split_once('-').and_then(|(job, attempt)| {
            Some((job.parse::<i64>().ok()?, attempt.parse::<u32>().ok()?))
        });
        let (job, attempt) =
            ids.ok_or_else(|| Error::internal("a job's directory is <job>-<attempt>/work"))?;
        let root = work.ancestors().nth(3).unwrap_or(work);
        let diary = Diary(root.join("stage"));
        Ok(Box::new(Play { job, attempt, diary, stop: CancellationToken::new() }))
    }
}

/// Builds of this process that run now.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A file that says what began and ended, for the checker.
#[derive(Debug)]
pub(super) struct Diary(pub(super) PathBuf);

impl Diary {
    /// A full disk keeps no diary.
    pub(super) fn note(&self, line: &str) {
        let file = File::options().create(true).append(true).open(&self.0);
        let _ = file.and_then(|mut f| f.write_all(format!("{line}\n").as_bytes()));
    }
}

#[derive(Debug)]
struct Play {
    job: i64,
    attempt: u32,
    diary: Diary,
    stop: CancellationToken,
}

#[async_trait]
impl Prepared for Play {
    fn surroundings(&self) -> Surroundings {
        Surroundings::Host
    }

    async fn run(&self, step: &Step, _: &StepLimits, log: &dyn LogSink) -> Result<Exit> {
        let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        self.diary.note(&format!("begin {} {} {running}", self.job, self.attempt));
        let exit = self.perform(step, log).await;
        let running = RUNNING.fetch_sub(1, Ordering::SeqCst) - 1;
        self.diary.note(&format!("end {} {} {running}", self.job, self.attempt));
        exit
    }

    async fn stop(&self) -> Result<()> {
        self.stop.cancel();
        Ok(())
    }

    async fn destroy(&self) -> Result<()> {
        Ok(())
    }
}

impl Play {
    async fn perform(&self, step: &Step, log: &dyn LogSink) -> Result<Exit> {
        let (job, attempt) = (self.job, self.attempt);
        let text = bytes::log(job, attempt);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(700).collect();
        let slow = std::env::var(super::SLOW).ok().and_then(|n| n.parse().ok()).unwrap_or(1);
        let pause = slow * bytes::takes(job, attempt) / pieces.len().max(1) as u64;
        for piece in pieces {
            log.write(piece).await?;
            tokio::select! {
                () = self.stop.cancelled() => return Ok(Exit::Stopped),
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
        }
        let source = Path::new(step.argv.last().map_or("", String::as_str));
        let named = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some((package, version)) = named.split_once('_') else { return Ok(Exit::Code(3)) };
        if package.starts_with("chaos-f") {
            log.write(b"chaos-fails\n").await?;
            return Ok(Exit::Code(1));
        }
        if package.starts_with("chaos-w") && attempt == 1 {
            log.write(b"chaos-unmet chaos-nobody-has-this (>= 1)\n").await?;
            return Ok(Exit::Code(2));
        }
        let arch = step.vars.get("ARCH").map_or("all", String::as_str);
        let deb = bytes::binary(package, version, arch, job, attempt);
        let file = step.cwd.join(format!("{package}_{version}_{arch}.deb"));
        tokio::fs::write(&file, deb).await.map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("cannot write the package: {e}"))
        })?;
        Ok(Exit::Code(0))
    }
}
