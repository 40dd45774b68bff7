//! The load generator: simulated clients that speak the real API over HTTP, and the real transport, so that a farm is
//! measured without compilers.
//!
//! | file | what it measures |
//! |---|---|
//! | `submissions` | submissions per second, with few and with many unfinished jobs, and what PostgreSQL itself does |
//! | `latency` | from a submission to its claim by an idle client, on each transport |
//! | `done` | jobs per second from submission to `Done` |
//! | `queue` | claims from a long queue by many clients, a restart of the server then, and its memory |
//! | `logs` | bytes of log per second, and how far followers are behind |
//! | `lost` | from a client's death to the next claim of its job |
//!
//! `site` is the farm that is measured, `fill` brings it to a long queue, `worker` is a simulated build client, `sources`
//! what is submitted, `figures` what comes out, `cpu` which process took how much for it. `benches/README.md` holds results.

mod cpu;
mod done;
mod figures;
mod fill;
mod latency;
mod logs;
mod lost;
mod queue;
mod servers;
mod site;
mod sources;
mod submissions;
mod worker;

use std::time::Duration;

use pybit_client::Api;
use pybit_core::{Error, Result};

pub(crate) use figures::Figure;
pub(crate) use servers::Servers;

use site::{Kind, Site};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Measure {
    /// Submissions per second over HTTP
    Submissions,
    /// From submission to claim, on each transport
    Latency,
    /// Jobs per second from submission to Done
    Done,
    /// Claims from a long queue, a restart, memory
    Queue,
    /// Bytes of log per second, and the delay of followers
    Logs,
    /// From a client's death to the next claim of its job
    Lost,
}

/// What to measure, where, and how much.
#[derive(Debug)]
pub(crate) struct Options {
    /// Everything where empty.
    pub(crate) measures: Vec<Measure>,
    /// Where farms of our own keep their state and send their hints.
    pub(crate) servers: Servers,
    /// The farm that is measured, where it runs already.
    pub(crate) running: Option<Api>,
    /// How much.
    pub(crate) scale: Scale,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Submissions of one measurement.
    submissions: usize,
    /// Connections that submit at once.
    connections: usize,
    /// Unfinished jobs of a short and of a long queue.
    queues: [u64; 2],
    /// How long pgbench runs.
    pgbench_secs: u32,
    /// Samples of a latency.
    samples: usize,
    /// Jobs that are driven to `Done`.
    jobs: usize,
    /// Clients that build them.
    builders: usize,
    /// Waiting jobs, and clients, of the long queue that is claimed from.
    waiting: [u64; 2],
    clients: usize,
    /// How long a build of theirs takes, and how long claims are measured.
    build: Duration,
    claiming: Duration,
    /// MiB of log, and how long followers are measured.
    log_mib: u64,
    following: Duration,
    /// Whether the default lease is waited for too.
    default_lease: bool,
}

impl Scale {
    /// As `make load` measures.
    pub(crate) fn full() -> Self {
        Self {
            submissions: 8000,
            connections: 16,
            queues: [1000, 500_000],
            pgbench_secs: 8,
            samples: 400,
            jobs: 2000,
            builders: 48,
            waiting: [2_000, 200_000],
            clients: 1000,
            build: Duration::from_secs(8),
            claiming: Duration::from_secs(20),
            log_mib: 1024,
            following: Duration::from_secs(6),
            default_lease: true,
        }
    }

    /// Enough to see that all of it works.
    pub(crate) fn quick() -> Self {
        Self {
            submissions: 48,
            connections: 4,
            queues: [20, 200],
            pgbench_secs: 1,
            samples: 5,
            jobs: 40,
            builders: 4,
            waiting: [40, 400],
            clients: 10,
            build: Duration::from_millis(100),
            claiming: Duration::from_secs(1),
            log_mib: 4,
            following: Duration::from_millis(500),
            default_lease: false,
        }
    }
}

/// Measures, and tells each figure as soon as it is there.
pub(crate) async fn run(
    options: &Options,
    mut tell: impl FnMut(&Figure) -> Result<()>,
) -> Result<()> {
    let all = <Measure as clap::ValueEnum>::value_variants();
    let asked = if options.measures.is_empty() { all } else { &options.measures };
    for measure in asked {
        for kind in kinds(*measure, options) {
            let mut site = match &options.running {
                Some(api) => Site::running(api.clone()).await?,
                None => Site::start(&options.servers, kind).await?,
            };
            let measured = measured(*measure, &mut site, &options.scale).await;
            site.end().await;
            measured?.iter().try_for_each(&mut tell)?;
        }
    }
    Ok(())
}

async fn measured(measure: Measure, site: &mut Site, scale: &Scale) -> Result<Vec<Figure>> {
    match measure {
        Measure::Submissions => submissions::measure(site, scale).await,
        Measure::Latency => latency::measure(site, scale).await,
        Measure::Done => done::measure(site, scale).await,
        Measure::Queue => queue::measure(site, scale).await,
        Measure::Logs => logs::measure(site, scale).await,
        Measure::Lost => lost::measure(site).await,
    }
}

/// The farms that a measurement wants, as far as there are servers for them.
fn kinds(measure: Measure, options: &Options) -> Vec<Kind> {
    if options.running.is_some() {
        return vec![Kind::RUNNING];
    }
    let all = match measure {
        Measure::Submissions | Measure::Logs => vec![Kind::CLUSTER],
        Measure::Done | Measure::Queue => vec![Kind::CLUSTER, Kind::LAPTOP],
        Measure::Latency => vec![Kind::LAPTOP, Kind::CLUSTER, Kind::BROKERLESS],
        Measure::Lost if options.scale.default_lease => {
            vec![Kind::CLUSTER, Kind::CLUSTER.with_quick_leases()]
        }
        Measure::Lost => vec![Kind::CLUSTER.with_quick_leases()],
    };
    let mut kinds: Vec<Kind> = all.into_iter().map(|kind| kind.on(&options.servers)).collect();
    kinds.dedup();
    kinds
}

/// A measurement that cannot go on.
fn broken(message: impl Into<String>) -> Error {
    Error::internal(message).with_code("load_failed")
}
