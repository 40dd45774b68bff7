//! One job on this machine: performs what the [`machine`] decides.

mod build;
mod clean;
mod fetch;
mod send;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pybit_core::build::Prepared;
use pybit_core::model::{Arch, Failure, FailureClass, JobKind, Target};
use pybit_core::resources::Resources;
use pybit_core::{Error, ErrorKind, Result, trial};

use crate::api::Api;
use crate::backoff::{Backoff, Retry};
use crate::config::machine_arch;
use crate::hands::{Grip, Hands};
use crate::journal::{Ending, Entry, JobDir};
use crate::machine::{self, Effect, Event, State};
use crate::shipper::Shipper;
use crate::spool::Spool;
use crate::toolbox::Toolbox;
use crate::user::BuildUser;

/// What every job of a client shares.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) api: Api,
    pub(crate) toolbox: Toolbox,
    pub(crate) hands: Arc<Hands>,
    pub(crate) user: Option<BuildUser>,
    /// Resources of this machine for each build.
    pub(crate) resources: Resources,
    /// The waits towards a server that is away.
    pub(crate) waits: Backoff,
}

/// A job under way.
#[derive(Debug)]
pub(crate) struct Task {
    work: Arc<Work>,
    grip: Grip,
}

/// What the effects of one job work on.
#[derive(Debug)]
struct Work {
    shop: Arc<Workshop>,
    dir: JobDir,
    entry: Mutex<Entry>,
    spool: Arc<Spool>,
    shipper: Shipper,
    found: Mutex<Found>,
    /// The disk had no room before this job had written anything, and no other job was in hand.
    found_full: bool,
}

/// What effects leave for the effects after them.
#[derive(Debug, Default)]
struct Found {
    source: PathBuf,
    resolved: String,
    /// The source is a complete source package, and so the result.
    is_result: bool,
    environment: Option<Arc<dyn Prepared>>,
    /// Its processes are killed on request.
    stopping: bool,
    /// How often the server said that it lacks files.
    lacking: u32,
}

impl Task {
    /// A job whose entry is in the journal; it is in hand from here on.
    pub(crate) async fn open(shop: &Arc<Workshop>, dir: JobDir, entry: Entry) -> Result<Self> {
        let (job, attempt) = (entry.job(), entry.attempt());
        let spool = Arc::new(Spool::open(dir.log(), entry.assignment.limits.log_bytes).await?);
        let shipper = Shipper::start(&shop.api, (job, attempt), &spool, shop.waits.clone());
        let found_full = shop.hands.held().is_empty() && !has_room(dir.path());
        let grip = shop.hands.take(job, attempt, entry.state);
        let work = Work {
            shop: Arc::clone(shop),
            dir,
            entry: Mutex::new(entry),
            spool,
            shipper,
            found: Mutex::default(),
            found_full,
        };
        Ok(Self { work: Arc::new(work), grip })
    }

    /// Builds a job that was just claimed; whether its slot can be used again.
    pub(crate) async fn build(self) -> bool {
        let start = self.work.introduction();
        self.work.say(&start).await;
        self.run(State::Fetching, vec![Effect::Fetch]).await
    }

    /// Goes on with a job that an earlier process of this client had; whether all of it is gone from this machine.
    pub(crate) async fn resume(self) -> bool {
        let state = self.work.entry().state;
        let (state, effects) = if let Some(go_on) = machine::resume(state) {
            go_on
        } else {
            let message = "the build client was restarted while it built";
            machine::step(state, self.work.fail(FailureClass::Infra, message, vec![]).await)
        };
        self.work.record(state).await;
        self.run(state, effects).await
    }

    async fn run(mut self, mut state: State, effects: Vec<Effect>) -> bool {
        let mut usable = true;
        let mut running = None;
        let mut listening = true;
        self.work.begin(&effects, &mut running, &mut usable).await;
        while state != State::Done {
            let event = tokio::select! {
                biased;
                order = self.grip.order() => order,
                event = finished(&mut running) => event,
                refusal = self.work.shipper.refused(), if listening => {
                    listening = false;
                    send::verdict(&refusal.0)
                }
            };
            let (next, effects) = machine::step(state, event);
            if next != state {
                tracing::debug!(dir = %self.work.dir.path().display(), ?state, ?event, ?next, "step");
                self.grip.at(next);
                trial::crash_point("client_step_before_journal");
                self.work.record(next).await;
            }
            state = next;
            self.work.begin(&effects, &mut running, &mut usable).await;
        }
        usable
    }
}

/// The effect that is under way.
struct Running {
    effect: Effect,
    future: BoxFuture<'static, Event>,
}

async fn finished(running: &mut Option<Running>) -> Event {
    match running {
        Some(current) => {
            let event = current.future.as_mut().await;
            *running = None;
            event
        }
        None => std::future::pending().await,
    }
}

impl Work {
    /// Starts the effects: at most one of them is long.
    async fn begin(
        self: &Arc<Self>,
        effects: &[Effect],
        running: &mut Option<Running>,
        usable: &mut bool,
    ) {
        for &effect in effects {
            let work = Arc::clone(self);
            let future: BoxFuture<'static, Event> = match effect {
                Effect::Fetch | Effect::Prepare | Effect::Build | Effect::Collect => {
                    Box::pin(async move { work.on_the_source(effect).await })
                }
                Effect::Upload => Box::pin(async move { work.upload().await }),
                Effect::Report => Box::pin(async move { work.report().await }),
                Effect::Clean => Box::pin(async move { work.clean().await }),
                Effect::ConfirmStopped => Box::pin(async move { work.confirm_stopped().await }),
                Effect::Refuse => Box::pin(async move { work.refuse().await }),
                Effect::Stop => {
                    let build = running.take().filter(|r| r.effect == Effect::Build);
                    Box::pin(async move { work.stop(build.map(|r| r.future)).await })
                }
                Effect::Forget => {
                    trial::crash_point("client_cleaned_before_forget");
                    self.forget().await;
                    continue;
                }
                Effect::RetireSlot => {
                    *usable = false;
                    continue;
                }
            };
            *running = Some(Running { effect, future });
        }
    }

    /// An effect that handles what came from a submitter. A defect that it meets ends the attempt, not the slot.
    async fn on_the_source(&self, effect: Effect) -> Event {
        let event = async {
            match effect {
                Effect::Fetch => self.fetch().await,
                Effect::Prepare => self.prepare().await,
                Effect::Build => self.build().await,
                _ => self.collect().await,
            }
        };
        if let Ok(event) = AssertUnwindSafe(event).catch_unwind().await {
            return event;
        }
        let class = if self.is_source_job() { FailureClass::Source } else { FailureClass::Build };
        let message = "The build client met a defect of its own; its log says where. Please report it with this source.";
        self.fail(class, message, vec![]).await
    }

    /// Writes the state to the journal. A journal that cannot be written costs a rebuild after a crash, no more.
    async fn record(&self, state: State) {
        let entry = {
            let mut entry = self.entry();
            entry.state = state;
            entry.clone()
        };
        let dir = self.dir.clone();
        if let Err(e) = blocking(move || dir.write(&entry)).await {
            tracing::error!("the journal is behind: {e}");
        }
    }

    /// Records how the build ended; the state that follows is written after it.
    async fn ended(&self, ending: Ending) {
        if let Err(e) = self.spool.sync().await {
            tracing::error!("the log may not survive a power cut: {e}");
        }
        self.entry().result = Some(ending);
    }

    /// Records a failure, in the log too.
    async fn fail(&self, class: FailureClass, message: &str, unmet: Vec<String>) -> Event {
        let no_blame = class == FailureClass::Unclear;
        let class = if no_blame && self.found_full { FailureClass::Infra } else { class };
        self.say(&format!("failed ({class}): {message}")).await;
        let failure = Failure { class, message: message.to_owned() };
        self.ended(Ending::Failed { failure, unmet }).await;
        Event::Failed
    }

    /// Records an error; where it is not the machine's fault, `blame` says whose.
    async fn fail_by(&self, error: &Error, blame: FailureClass) -> Event {
        let class = match error.kind() {
            ErrorKind::Full if self.may_have_filled() => FailureClass::Unclear,
            ErrorKind::Unavailable
            | ErrorKind::Full
            | ErrorKind::Busy
            | ErrorKind::Internal
            | ErrorKind::Corrupt => FailureClass::Infra,
            ErrorKind::Denied => FailureClass::Policy,
            _ => blame,
        };
        self.fail(class, &chain(error), vec![]).await
    }

    /// True where a job may be what filled the disk: this one, once something of its source is there, or another in hand.
    fn may_have_filled(&self) -> bool {
        self.entry().state != State::Fetching || self.shop.hands.held().len() > 1
    }

    /// Records that this client cannot build it.
    async fn unable(&self, error: &Error) -> Event {
        self.say(&format!("given back: {error}")).await;
        self.ended(Ending::Refused { reason: error.message().to_owned() }).await;
        Event::Unable
    }

    /// A line of pybit's own in the log; a log that takes no more bytes does without it.
    async fn say(&self, line: &str) {
        if let Err(e) = self.spool.say(line).await {
            tracing::debug!("not in the log: {line} ({e})");
        }
    }

    fn introduction(&self) -> String {
        let entry = self.entry();
        let job = &entry.assignment.job;
        let version = job.version.as_ref().map_or("", |v| v.as_str());
        format!(
            "job {}, attempt {}: {} {version} for {}",
            job.id, job.attempt, job.package, job.target
        )
    }

    /// The target with an architecture that builds run on: this machine's for a source job.
    fn target(&self) -> Target {
        let mut target = self.entry().assignment.job.target.clone();
        if target.arch.is_source() {
            target.arch = machine_arch(&target.format).unwrap_or_else(Arch::source);
        }
        target
    }

    /// Tries for as long as the job is this client's.
    fn for_ever(&self) -> Retry {
        Retry { tries: None, backoff: self.shop.waits.clone() }
    }

    fn is_source_job(&self) -> bool {
        self.entry().assignment.job.kind == JobKind::Source
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True where a job can begin in a directory: bytes and files enough for its own journal and log.
fn has_room(dir: &Path) -> bool {
    /// Bytes.
    const ROOM: u64 = 64 << 20;
    /// Some file systems count no files, and say 0 of 0.
    const FILES: u64 = 100;
    let Ok(stat) = nix::sys::statvfs::statvfs(dir) else { return true };
    let bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
    let files = stat.files() == 0 || stat.files_available() >= FILES;
    bytes >= ROOM && files
}

/// Runs what blocks on the disk apart from the runtime's threads.
async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|e| Error::internal("work on the disk ended early").with_source(e))?
}

/// An error and its causes, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = e.source();
    }
    text
}
