//! The use cases of the farm, over the traits: what the HTTP API, and a program that embeds a farm, calls.
//!
//! | file | what it answers |
//! |---|---|
//! | [`plan`] | which jobs a submission becomes (pure) |
//! | [`machine`] | what a report or request does to a job (pure) |
//! | [`lease`] | which leases have lapsed (pure) |
//! | `lines` | which held claims a new job wakes |
//! | `apply` | how a decision takes effect although others decide too |
//! | `submit` | submissions, dry runs, retries |
//! | `names` | who owns the names that a source says it builds |
//! | `base` | sources that bear names of the base distribution |
//! | `serve` | claims and heartbeats of build clients |
//! | `outrun` | clients that hold what the database never gave |
//! | `report` | results and failures of build clients, and of the watcher |
//! | `orders` | orders to watchers, and the history of a package |
//! | `cancel` | ending jobs on request |
//! | `tick` | the background: sending hints, lapsing leases, freeing blocked jobs |
//! | `why` | why a job is where it is |

pub mod lease;
mod lines;
pub mod machine;
pub mod plan;

mod apply;
mod base;
mod cancel;
mod history;
mod names;
mod orders;
mod outrun;
mod policy;
mod report;
mod serve;
mod submit;
mod tick;
mod why;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::watch;

use crate::base::BaseIndex;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::format::PackageFormat;
use crate::model::{FormatName, Job, JobId, Offer};
use crate::storage::Storage;
use crate::transport::Transport;

pub use history::JobHistory;
pub use lines::Place;
pub use policy::Policy;

/// A build farm: its state, its messages, its formats and its rules.
#[derive(Debug, Clone)]
pub struct Farm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn Storage>,
    transport: Arc<dyn Transport>,
    formats: BTreeMap<FormatName, Arc<dyn PackageFormat>>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    /// The index of the base distributions.
    base: OnceLock<Arc<dyn BaseIndex>>,
    leases: Mutex<lease::LeaseWatch>,
    /// Moves when a job may have become claimable.
    work: watch::Sender<u64>,
    /// Held claims.
    lines: lines::Lines,
    /// Moves when a result may have become publishable.
    results: watch::Sender<u64>,
    /// Moves when this server has put hints into the outbox.
    unsent: watch::Sender<u64>,
    /// Attempts that clients held and the database never gave.
    outrun: AtomicU64,
}

impl Farm {
    /// A farm on this state, these messages and these formats, with the machine's clock and the default policy.
    pub fn new(
        storage: Arc<dyn Storage>,
        transport: Arc<dyn Transport>,
        formats: impl IntoIterator<Item = Arc<dyn PackageFormat>>,
    ) -> Self {
        Self::with_policy(storage, transport, formats, Arc::new(SystemClock), Policy::default())
    }

    /// A farm with its own clock and policy.
    pub fn with_policy(
        storage: Arc<dyn Storage>,
        transport: Arc<dyn Transport>,
        formats: impl IntoIterator<Item = Arc<dyn PackageFormat>>,
        clock: Arc<dyn Clock>,
        policy: Policy,
    ) -> Self {
        let formats = formats.into_iter().map(|f| (f.name().clone(), f)).collect();
        let leases = Mutex::new(lease::LeaseWatch::default());
        let [work, results, unsent] = [(); 3].map(|()| watch::Sender::new(0));
        Self {
            inner: Arc::new(Inner {
                storage,
                transport,
                formats,
                clock,
                policy,
                base: OnceLock::new(),
                leases,
                work,
                lines: lines::Lines::default(),
                results,
                unsent,
                outrun: AtomicU64::new(0),
            }),
        }
    }

    /// The farm's state.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.inner.storage
    }

    /// The farm's messages.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner.transport
    }

    /// The farm's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The farm's numbers.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// A format by name; an unknown one is refused with the known ones.
    pub fn format(&self, name: &FormatName) -> Result<&Arc<dyn PackageFormat>> {
        self.inner.formats.get(name).ok_or_else(|| {
            let known =
                self.inner.formats.keys().map(FormatName::as_str).collect::<Vec<_>>().join(", ");
            Error::invalid(format!(
                "there is no package format \"{name}\"; this farm knows {known}"
            ))
            .with_code("unknown_format")
        })
    }

    /// A place in the line of held claims with these offers: it is called when there may be a job for it.
    /// [`listen`](Self::listen) calls.
    pub fn line_up(&self, offers: &[Offer]) -> Place {
        self.inner.lines.join(offers)
    }

    /// Changes whenever a job may have become claimable. [`listen`](Self::listen) moves it.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.inner.work.subscribe()
    }

    /// Changes whenever a result may have become publishable: what a held watcher request waits on.
    /// [`listen`](Self::listen) moves it.
    pub fn results(&self) -> watch::Receiver<u64> {
        self.inner.results.subscribe()
    }

    /// Changes whenever this server has put hints into the outbox: what its [`dispatch`](Self::dispatch) waits on. Those of
    /// other servers are theirs to send, and anybody's who finds them later.
    pub fn unsent(&self) -> watch::Receiver<u64> {
        self.inner.unsent.subscribe()
    }

    fn announce_unsent(&self) {
        self.inner.unsent.send_modify(|n| *n += 1);
    }

    fn announce_work(&self) {
        self.inner.work.send_modify(|n| *n += 1);
        self.inner.lines.call();
    }

    fn announce_results(&self) {
        self.inner.results.send_modify(|n| *n += 1);
    }

    /// The job, or `NotFound`.
    pub async fn job(&self, id: JobId) -> Result<Job> {
        let found = self.inner.storage.job(id).await?;
        found.ok_or_else(|| {
            Error::not_found(format!("there is no job {id}")).with_code("unknown_job")
        })
    }
}
