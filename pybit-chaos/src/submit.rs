//! The submitters: each asks until it has an answer, as a hook does, and keeps what it was promised.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pybit::client::Retry;
use pybit::client::api::{Api, ApiError, ApiResult, Destination};
use pybit::core::model::{FileSpec, JobFilter, JobStatus, NewSubmission, Page, Source, UploadId};
use pybit::core::protocol::{Manifest, SubmissionReply};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::builder::bytes::{sha256, source};
use crate::plan::{Order, Plan, Story};

/// A submitter gives up after this, and says so.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a submitter was told.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Promise {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) key: String,
    /// The submission's number, once it was accepted.
    pub(crate) submission: Option<i64>,
    /// The jobs of the first answer.
    pub(crate) jobs: Vec<i64>,
    /// The refusal, where it was refused for good.
    pub(crate) refused: Option<String>,
    /// Jobs that a cancel was answered for, and what became of each.
    pub(crate) cancelled: BTreeMap<i64, String>,
    /// Jobs that a retry made.
    pub(crate) retried: Vec<i64>,
    /// Questions that were asked again.
    pub(crate) again: u32,
    /// Whether it has seen its job fail.
    pub(crate) gave_up: bool,
}

type Promises = Arc<Mutex<BTreeMap<usize, Promise>>>;

/// Carries the orders out; returns when all are answered.
pub(crate) async fn all(plan: &Plan, apis: Vec<Api>, dir: &Path, start: Instant) -> Vec<Promise> {
    let promises = Promises::default();
    let mut tasks = JoinSet::new();
    for (n, order) in plan.orders.iter().cloned().enumerate() {
        let one = Submitter {
            order,
            apis: apis.clone(),
            turn: n,
            dir: dir.join(format!("sources/{n}")),
            promise: Promise::default(),
            end: Instant::now(),
        };
        let (promises, seed) = (Arc::clone(&promises), plan.seed);
        tasks.spawn(async move {
            sleep_until((start + Duration::from_millis(one.order.at)).into()).await;
            let promise = one.run(seed).await;
            promises.lock().unwrap_or_else(PoisonError::into_inner).insert(n, promise);
        });
    }
    tasks.join_all().await;
    let promises = promises.lock().unwrap_or_else(PoisonError::into_inner);
    promises.values().cloned().collect()
}

struct Submitter {
    order: Order,
    apis: Vec<Api>,
    turn: usize,
    dir: std::path::PathBuf,
    promise: Promise,
    end: Instant,
}

impl Submitter {
    async fn run(mut self, seed: u64) -> Promise {
        self.promise.package.clone_from(&self.order.package);
        self.promise.version.clone_from(&self.order.version);
        self.promise.key = format!("chaos-{seed}-{}", self.turn);
        self.end = Instant::now() + PATIENCE;
        if let Err(error) = self.tell().await {
            if error.is_transient() {
                self.promise.gave_up = true;
            } else {
                self.promise.refused = Some(error.to_string());
            }
        }
        self.promise
    }

    async fn tell(&mut self) -> ApiResult<()> {
        let from = if self.order.upload { self.upload().await? } else { self.named()? };
        let suite = parse(self.order.suite)?;
        let request = NewSubmission {
            source: from,
            suite,
            dist: None,
            format: None,
            arches: vec![],
            env: None,
            priority: self.order.priority,
            force: false,
        };
        let key = self.promise.key.clone();
        let reply = loop {
            let asked = self.api().submit(&request, Some(&key)).await;
            if let Some(reply) = self.settled(asked).await? {
                break reply;
            }
        };
        self.promise.submission = Some(reply.submission.id.0);
        self.promise.jobs = reply.jobs.iter().map(|j| j.id.0).collect();
        match self.order.story {
            Story::Cancelled(after) => {
                sleep(Duration::from_millis(after)).await;
                self.cancel(&reply).await
            }
            Story::Fails => self.retry(&reply).await,
            _ => Ok(()),
        }
    }

    /// Another server at each question.
    fn api(&mut self) -> Api {
        self.turn += 1;
        self.apis[self.turn % self.apis.len()].clone()
    }

    /// The answer; `None` where it is worth asking again.
    async fn settled<T>(&mut self, answer: ApiResult<T>) -> ApiResult<Option<T>> {
        match answer {
            Err(e) if e.is_transient() && Instant::now() < self.end => {
                self.promise.again += 1;
                sleep(Duration::from_millis(100)).await;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn named(&self) -> ApiResult<Source> {
        Ok(Source::Apt {
            package: parse(&self.order.package)?,
            version: Some(parse(&self.order.version)?),
        })
    }

    async fn upload(&mut self) -> ApiResult<Source> {
        let (package, version) = (self.order.package.clone(), self.order.version.clone());
        let (text, tarball, bytes) = source(&package, &version);
        let main = format!("{package}_{version}.dsc");
        let io = |e: std::io::Error| ApiError::new(pybit::ErrorKind::Internal, e.to_string());
        std::fs::create_dir_all(&self.dir).map_err(io)?;
        let mut files = Vec::new();
        for (name, bytes) in [(&main, text.as_bytes()), (&tarball, &bytes[..])] {
            let path = self.dir.join(name);
            std::fs::write(&path, bytes).map_err(io)?;
            let spec =
                FileSpec { name: parse(name)?, size: bytes.len() as u64, sha256: sha256(bytes) };
            files.push((spec, path));
        }
        let manifest =
            Manifest { attempt: 0, files: files.iter().map(|(s, _)| s.clone()).collect() };
        let id: UploadId = loop {
            let asked = self.api().declare_upload(&manifest).await;
            if let Some(upload) = self.settled(asked).await? {
                break upload.id;
            }
        };
        loop {
            let once = Retry { tries: Some(1), ..Retry::patient() };
            let sent = self.api().send_files(Destination::Upload(id), &files, &once).await;
            if self.settled(sent).await?.is_some() {
                break;
            }
        }
        Ok(Source::Upload { upload: id, main: parse(&main)? })
    }

    async fn jobs(&mut self, reply: &SubmissionReply) -> ApiResult<Vec<pybit::core::model::Job>> {
        let filter = JobFilter { submission: Some(reply.submission.id), ..JobFilter::default() };
        loop {
            let asked = self.api().jobs(&filter, &Page { limit: 50, before: None }).await;
            if let Some(jobs) = self.settled(asked).await? {
                return Ok(jobs);
            }
        }
    }

    async fn cancel(&mut self, reply: &SubmissionReply) -> ApiResult<()> {
        for job in self.jobs(reply).await? {
            loop {
                let asked = self.api().cancel(job.id, Some("chaos".to_owned())).await;
                let asked = match asked {
                    Err(e) if !e.is_transient() => {
                        self.promise.cancelled.insert(job.id.0, e.code);
                        break;
                    }
                    other => other,
                };
                if let Some(job) = self.settled(asked).await? {
                    self.promise.cancelled.insert(job.id.0, job.status.to_string());
                    break;
                }
            }
        }
        Ok(())
    }

    /// A person sees the failure and tries again, once.
    async fn retry(&mut self, reply: &SubmissionReply) -> ApiResult<()> {
        let failed = loop {
            let jobs = self.jobs(reply).await?;
            if let Some(job) = jobs.iter().find(|j| j.status == JobStatus::Failed) {
                break job.id;
            }
            if Instant::now() > self.end {
                return Ok(());
            }
            sleep(Duration::from_millis(700)).await;
        };
        loop {
            let asked = self.api().retry(failed, Some("again")).await;
            let asked = match asked {
                // A newer version came meanwhile.
                Err(e) if !e.is_transient() => return Ok(()),
                other => other,
            };
            if let Some(job) = self.settled(asked).await? {
                self.promise.retried.push(job.id.0);
                return Ok(());
            }
        }
    }
}

fn parse<T: std::str::FromStr<Err = pybit::Error>>(text: &str) -> ApiResult<T> {
    text.parse().map_err(|e: pybit::Error| ApiError::new(e.kind(), e.message().to_owned()))
}
