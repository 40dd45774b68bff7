//! The build client as a whole: what its slots, its heartbeat and its hints share, and how it starts and ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use pybit_core::protocol::LeaseTimes;
use pybit_core::storage::ClientReport;
use pybit_core::transport::Transport;
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::backoff::Backoff;
use crate::claimer::{self, Wakes};
use crate::config::ClientConfig;
use crate::hands::Hands;
use crate::journal::{Entry, JobDir, Journal};
use crate::machine::Event;
use crate::task::{Task, Workshop};
use crate::toolbox::Toolbox;
use crate::user::BuildUser;
use crate::{heartbeat, hints, status};

/// Until the server has said how often it wants to hear from this client.
const FIRST_LEASE: LeaseTimes = LeaseTimes { ttl_ms: 60_000, heartbeat_ms: 15_000 };
/// Jobs that are given back get this long for it; the journal keeps what does not get through.
const GOODBYE: Duration = Duration::from_secs(15);

/// How a client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Take no more jobs; running builds may end within this time, then as in `Fast`.
    Drain(Duration),
    /// Kill what is not built, give it back, and keep what is built for the next start.
    Fast,
}

/// A running build client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) shop: Arc<Workshop>,
    pub(crate) journal: Journal,
    pub(crate) report: ClientReport,
    /// The times that the server asked for.
    pub(crate) lease: watch::Sender<LeaseTimes>,
    /// The server said: take no more jobs.
    pub(crate) draining: watch::Sender<bool>,
    /// A heartbeat is wanted now.
    pub(crate) beat_now: Notify,
    /// No more jobs are taken.
    pub(crate) closing: CancellationToken,
    /// Jobs that are not built are given back.
    pub(crate) leaving: CancellationToken,
    /// Another process runs under this name.
    pub(crate) replaced: CancellationToken,
    /// Slots that wait for a job.
    pub(crate) idle: watch::Sender<u32>,
    pub(crate) wakes: Wakes,
}

/// Runs a build client until `shutdown`.
///
/// - Jobs that an earlier process left in `work_dir` go on first: built results are sent, the others are reported and
///   cleaned.
/// - A server that is away is waited for; only one that refuses the token ends it, `Unauthenticated` or `Denied`.
/// - Replaced by another process of its name it gives its jobs back and takes no others; `Conflict` at its end.
/// - `Conflict` while another process uses the same `work_dir`; `Invalid` or `Unsupported` for a configuration that
///   cannot work.
pub async fn run(
    config: ClientConfig,
    toolbox: Toolbox,
    transport: Option<Arc<dyn Transport>>,
    shutdown: impl Future<Output = Shutdown>,
) -> Result<()> {
    let client = Client::open(&config, toolbox, Backoff::server())?;
    live(Arc::new(client), &config, transport, shutdown).await
}

/// Runs an opened client.
pub(crate) async fn live(
    client: Arc<Client>,
    config: &ClientConfig,
    transport: Option<Arc<dyn Transport>>,
    shutdown: impl Future<Output = Shutdown>,
) -> Result<()> {
    let mut jobs = JoinSet::new();
    recover(&client, &mut jobs).await?;
    heartbeat::first(&client).await?;
    let mut background = JoinSet::new();
    for environment in client.shop.toolbox.environments.clone() {
        background.spawn(async move { environment.recover().await });
    }
    background.spawn(heartbeat::run(Arc::clone(&client)));
    if let Some(address) = config.status {
        background.spawn(status::serve(Arc::clone(&client), status::bind(address).await?));
    }
    if let Some(transport) = transport {
        background.spawn(hints::follow(Arc::clone(&client), Arc::clone(&transport)));
        background.spawn(hints::obey(Arc::clone(&client), transport));
    }
    for _ in 0..config.slots {
        jobs.spawn(slot(Arc::clone(&client)));
    }
    tracing::info!(name = %client.report.name, url = %client.shop.api.url(), "the build client is up");
    tokio::pin!(shutdown);
    let how = tokio::select! {
        how = &mut shutdown => how,
        () = client.replaced.cancelled() => {
            let replaced = client.report.replaced();
            tracing::error!("{replaced}; this one gives its jobs back and takes no others until it is started again");
            client.end(Shutdown::Fast, &mut jobs).await;
            background.shutdown().await;
            // To end here would have a service manager start it again at once, in the way of the other one.
            shutdown.await;
            return Err(replaced);
        }
        () = all_ended(&mut jobs) => return Err(Error::new(
            ErrorKind::Unavailable,
            "every slot of the build client has left something of a build behind; look at its log",
        )),
    };
    client.end(how, &mut jobs).await;
    Ok(())
}

impl Client {
    pub(crate) fn open(config: &ClientConfig, toolbox: Toolbox, waits: Backoff) -> Result<Self> {
        config.check()?;
        let offers = config.targets();
        toolbox.check(&offers)?;
        let journal = Journal::open(&config.work_dir)?;
        let report = ClientReport {
            name: config.client_name()?,
            boot: claimer::unique(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: config.slots,
            weights: config.weights(&offers),
            offers,
        };
        let shop = Workshop {
            api: Api::new(&config.url, Some(&config.secret()?))?,
            toolbox,
            hands: Arc::new(Hands::default()),
            user: BuildUser::find(config.build_user.as_deref())?,
            resources: config.limits.resources(config.slots, &config.work_dir),
            waits,
        };
        Ok(Self {
            shop: Arc::new(shop),
            journal,
            report,
            lease: watch::Sender::new(FIRST_LEASE),
            draining: watch::Sender::new(false),
            beat_now: Notify::new(),
            closing: CancellationToken::new(),
            leaving: CancellationToken::new(),
            replaced: CancellationToken::new(),
            idle: watch::Sender::new(0),
            wakes: Wakes::default(),
        })
    }

    async fn end(&self, how: Shutdown, jobs: &mut JoinSet<()>) {
        self.closing.cancel();
        if let Shutdown::Drain(at_most) = how {
            tracing::info!(jobs = self.shop.hands.held().len(), "draining");
            if tokio::time::timeout(at_most, all_ended(jobs)).await.is_ok() {
                return;
            }
        }
        self.leaving.cancel();
        self.shop.hands.tell_all(Event::Shutdown);
        if tokio::time::timeout(GOODBYE, all_ended(jobs)).await.is_err() {
            let left = self.shop.hands.held().len();
            tracing::warn!(
                left,
                "the server does not answer; the next start goes on with these jobs"
            );
        }
        jobs.shutdown().await;
    }
}

/// Goes on with what an earlier process has left.
async fn recover(client: &Arc<Client>, jobs: &mut JoinSet<()>) -> Result<()> {
    for (dir, entry) in client.journal.recover()? {
        let opened = match entry {
            Ok(entry) => reopen(client, &dir, entry).await,
            Err(e) => Err(e),
        };
        match opened {
            Ok(task) => {
                tracing::info!(dir = %dir.path().display(), "going on with a job of the last run");
                jobs.spawn(async move {
                    task.resume().await;
                });
            }
            // The server learns from the first heartbeat that this process does not have the job.
            Err(e) => {
                tracing::error!("a job of the last run is lost: {e}");
                dir.remove().unwrap_or_else(|e| tracing::error!("{e}"));
            }
        }
    }
    Ok(())
}

async fn reopen(client: &Arc<Client>, dir: &JobDir, entry: Entry) -> Result<Task> {
    Task::open(&client.shop, dir.clone(), entry).await
}

/// One slot, begun again where a defect has ended it.
async fn slot(client: Arc<Client>) {
    while AssertUnwindSafe(claimer::slot(Arc::clone(&client))).catch_unwind().await.is_err() {
        tracing::error!(
            "a slot ended by a defect and starts again; the server gives its job to another client"
        );
        Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).wait().await;
    }
}

async fn all_ended(jobs: &mut JoinSet<()>) {
    while let Some(ended) = jobs.join_next().await {
        if let Err(e) = ended {
            tracing::error!("a slot ended by a defect: {e}");
        }
    }
}

/// Waits until the process is asked to end, by SIGTERM or SIGINT.
pub async fn signalled(drain: Duration) -> Result<Shutdown> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen =
        |kind| signal(kind).map_err(|e| Error::internal("cannot listen to signals").with_source(e));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(if drain.is_zero() { Shutdown::Fast } else { Shutdown::Drain(drain) })
}
