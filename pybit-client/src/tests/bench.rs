//! Tools that do what a test tells them: a format whose steps are words, and an environment that performs them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pybit_core::build::{
    BuildEnvironment, FetchRequest, Fetched, FetchedKind, LogSink, Prepared, SourceFetcher,
    StepLimits,
};
use pybit_core::format::{
    BuildContext, Collected, Exit, Expansion, PackageFormat, Place, SourceInfo, Step, Surroundings,
    Verdict,
};
use pybit_core::model::{
    Arch, Failure, FailureClass, FileName, FileSpec, FormatName, Produced, Target,
};
use pybit_core::version::VersionOrder;
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};

/// What the tools of one test share.
#[derive(Debug)]
pub(super) struct Bench {
    /// The steps of every build: `write TEXT`, `fail`, `hang`, `gate`, `spew`.
    pub(super) script: Vec<Vec<String>>,
    /// Environments made so far, and those that are not destroyed.
    pub(super) made: watch::Sender<(u32, u32)>,
    /// Steps that have ended.
    pub(super) ended: watch::Sender<u32>,
    /// Lets a `gate` end.
    pub(super) gate: Notify,
    /// Environments cannot be destroyed.
    pub(super) stuck: AtomicBool,
}

impl Bench {
    pub(super) fn new(script: &[&[&str]]) -> Arc<Self> {
        let words = |step: &&[&str]| step.iter().map(|w| (*w).to_owned()).collect();
        Arc::new(Self {
            script: script.iter().map(words).collect(),
            made: watch::Sender::default(),
            ended: watch::Sender::default(),
            gate: Notify::new(),
            stuck: AtomicBool::new(false),
        })
    }

    pub(super) fn alive(&self) -> u32 {
        self.made.borrow().1
    }

    fn steps(&self, context: &BuildContext) -> Vec<Step> {
        let step = |argv: &Vec<String>| Step {
            phase: "build",
            argv: argv.clone(),
            place: Place::Inside,
            cwd: context.output.clone(),
            vars: [("SOURCE".to_owned(), context.source.display().to_string())].into(),
            network: false,
        };
        self.script.iter().map(step).collect()
    }
}

/// Speaks words.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) name: FormatName,
    pub(super) bench: Arc<Bench>,
}

#[derive(Debug)]
struct ByBytes;

impl VersionOrder for ByBytes {
    fn parse(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn compare(&self, a: &str, b: &str) -> Result<std::cmp::Ordering> {
        Ok(a.cmp(b))
    }
    fn key(&self, version: &str) -> Result<Vec<u8>> {
        Ok(version.as_bytes().to_vec())
    }
}

#[async_trait]
impl PackageFormat for Words {
    fn name(&self) -> &FormatName {
        &self.name
    }
    fn versions(&self) -> &dyn VersionOrder {
        &ByBytes
    }
    fn is_source_description(&self, name: &FileName) -> bool {
        name.as_str() == "hello_1.dsc"
    }
    fn read_source(&self, _: &[u8]) -> Result<SourceInfo> {
        Err(Error::invalid("no build client reads sources"))
    }
    fn expand(&self, _: &[String], _: &[Arch]) -> Result<Expansion> {
        Ok(Expansion::default())
    }
    fn source_steps(&self, context: &BuildContext) -> Result<Vec<Step>> {
        Ok(self.bench.steps(context))
    }
    fn binary_steps(&self, context: &BuildContext) -> Result<Vec<Step>> {
        Ok(self.bench.steps(context))
    }
    async fn collect(&self, output: &Path, source_build: bool) -> Result<Collected> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(output).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let name: FileName = path.file_name().unwrap().to_str().unwrap().parse()?;
            let sha256 = hex::encode(Sha256::digest(&bytes));
            files.push((FileSpec { name, size: bytes.len() as u64, sha256 }, path));
        }
        let main = files.first().map(|(spec, _)| spec.name.clone());
        let main = main.ok_or_else(|| Error::invalid("the build left nothing behind"))?;
        let produced =
            Produced { name: "hello".parse()?, version: "1".parse()?, arch: "amd64".to_owned() };
        let produced = if source_build { vec![] } else { vec![produced] };
        Ok(Collected { files, main, produced })
    }
    fn classify(&self, phase: &str, exit: Exit, log_tail: &str) -> Verdict {
        let last = log_tail.lines().rev().nth(1).unwrap_or_default();
        let message = format!("{phase} ended with {exit:?} after \"{last}\"");
        Verdict { failure: Failure { class: FailureClass::Build, message }, unmet: vec![] }
    }
    fn satisfies(&self, _: &str, _: &Produced) -> bool {
        false
    }
}

/// Performs words.
#[derive(Debug)]
pub(super) struct Stage(pub(super) Arc<Bench>);

#[async_trait]
impl BuildEnvironment for Stage {
    fn name(&self) -> &'static str {
        "host"
    }

    async fn prepare(
        &self,
        _: &Target,
        work: &Path,
        log: &dyn LogSink,
    ) -> Result<Box<dyn Prepared>> {
        log.write(b"the stage is set\n").await?;
        std::fs::create_dir_all(work.join("scratch")).unwrap();
        self.0.made.send_modify(|(made, alive)| (*made, *alive) = (*made + 1, *alive + 1));
        Ok(Box::new(Play { bench: Arc::clone(&self.0), stop: Notify::new() }))
    }
}

#[derive(Debug)]
struct Play {
    bench: Arc<Bench>,
    stop: Notify,
}

#[async_trait]
impl Prepared for Play {
    fn surroundings(&self) -> Surroundings {
        Surroundings::Host
    }

    async fn run(&self, step: &Step, _: &StepLimits, log: &dyn LogSink) -> Result<Exit> {
        let exit = match step.argv[0].as_str() {
            "write" => {
                std::fs::write(step.cwd.join("hello_1_amd64.deb"), &step.argv[1]).unwrap();
                log.write(b"written\n").await?;
                Exit::Code(0)
            }
            "show" => {
                log.write(&std::fs::read(&step.vars["SOURCE"]).unwrap()).await?;
                Exit::Code(0)
            }
            "hang" => {
                self.stop.notified().await;
                Exit::Stopped
            }
            "gate" => {
                self.bench.gate.notified().await;
                Exit::Code(0)
            }
            "defect" => panic!("a defect that this test has put there"),
            "spew" => loop {
                log.write(&[b'x'; 4096]).await?;
            },
            _ => {
                log.write(b"error: no such word\n").await?;
                Exit::Code(2)
            }
        };
        self.bench.ended.send_modify(|n| *n += 1);
        Ok(exit)
    }

    async fn stop(&self) -> Result<()> {
        self.stop.notify_one();
        Ok(())
    }

    async fn destroy(&self) -> Result<()> {
        if self.bench.stuck.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "a mount is busy"));
        }
        self.bench.made.send_modify(|(_, alive)| *alive -= 1);
        Ok(())
    }
}

/// Fetches a complete source package, or fails as told.
#[derive(Debug)]
pub(super) struct Courier(pub(super) Option<ErrorKind>);

#[async_trait]
impl SourceFetcher for Courier {
    fn method(&self) -> &'static str {
        "apt"
    }

    async fn fetch(&self, request: &FetchRequest<'_>, _: &dyn LogSink) -> Result<Fetched> {
        if let Some(kind) = self.0 {
            return Err(Error::new(kind, "the courier is lost"));
        }
        let main = request.into.join("hello_1.dsc");
        std::fs::write(&main, "Format: 3.0").unwrap();
        Ok(Fetched { kind: FetchedKind::Package(main), resolved: "1".to_owned() })
    }
}
