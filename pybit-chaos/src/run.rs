//! One run: plan, farm, work and faults, rest, check, report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use pybit::core::clock::{Clock, SystemClock};
use pybit::core::trial;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::check::world::{World, statuses};
use crate::check::{self, Evidence};
use crate::directed::Direction;
use crate::farm::process::{self, Process};
use crate::farm::{Farm, Made, hints, reader};
use crate::plan::{Backends, Plan};
use crate::report::{Length, Verdict};
use crate::{builder, faults, submit};

/// F11: hints come twice, in another order, late, or not at all.
const HINTS: &str = "dup=30,reorder=20,delay=2000,drop=20";

/// What a run is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Jobs that the submissions become.
    #[arg(long, default_value_t = 1000)]
    jobs: u64,
    /// Faults of the schedule.
    #[arg(long, default_value_t = 200)]
    faults: u64,
    /// Decides the schedule.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// postgres+rabbitmq or sqlite+zeromq.
    #[arg(long, default_value = "postgres+rabbitmq")]
    backends: Backends,
    /// Seconds over which work and faults are spread; 0.35 for each job where left out.
    #[arg(long)]
    window_secs: Option<u64>,
    /// The command that is broken; the one beside this program where left out.
    #[arg(long)]
    pybit: Option<PathBuf>,
    /// A variable for servers, clients and watchers: KEY=VALUE.
    #[arg(long = "env", value_parser = pair)]
    env: Vec<(String, String)>,
    /// What hints suffer all the time, in percent and milliseconds, or `none`. For a build with the feature `trial`.
    #[arg(long, default_value = HINTS)]
    hints: String,
    /// Keeps the directory of the run also where everything holds.
    #[arg(long)]
    keep: bool,
    /// Build clients.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    clients: u8,
    /// Publishers of the repository that reprepro makes. Two of them mend what one does wrong.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    watchers: u8,
    /// Every build takes so many times as long.
    #[arg(long, default_value_t = 1)]
    slow: u32,
    #[command(flatten)]
    direction: Direction,
    /// Seconds that the farm may take to come to rest.
    #[arg(long, default_value_t = 120)]
    rest_secs: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 0,
            faults: 0,
            seed: 0,
            backends: Backends::SqliteZero,
            window_secs: None,
            pybit: None,
            env: Vec::new(),
            hints: String::new(),
            keep: false,
            clients: 8,
            watchers: 2,
            slow: 1,
            direction: Direction::default(),
            rest_secs: 0,
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a variable is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Options {
    pub(crate) fn plan(&self) -> Plan {
        let window = self.window_secs.unwrap_or(self.jobs * 35 / 100).max(10) * 1000;
        let size = (self.jobs, self.faults, window);
        Plan::directed(self.seed, self.backends, size, &self.direction)
    }

    /// The variables of servers, clients and watchers.
    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = self.env.clone();
        if trial::IS_ON && self.hints != "none" {
            let told = format!("{}:{}", self.seed, self.hints);
            variables.push(("PYBIT_TRIAL_HINTS".to_owned(), told));
        }
        variables.push((builder::SLOW.to_owned(), self.slow.to_string()));
        variables
    }
}

/// Whether every invariant held.
pub(crate) async fn run(options: Options) -> Result<bool, String> {
    let plan = options.plan();
    println!(
        "seed {} · {} submissions · {} faults over {} s",
        plan.seed,
        plan.orders.len(),
        plan.faults.len(),
        plan.window / 1000
    );
    if !trial::IS_ON {
        println!("hints arrive as they are sent: F11 needs a build with the feature `trial`");
    }
    let room =
        tempfile::Builder::new().prefix("pybit-chaos-").tempdir().map_err(|e| e.to_string())?;
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let pybit = options.pybit.clone().unwrap_or_else(|| me.with_file_name("pybit"));
    let pybit = pybit.canonicalize().map_err(|e| format!("{}: {e}", pybit.display()))?;
    let made = Made {
        pybit,
        env: options.variables(),
        backends: options.backends,
        clients: options.clients,
        watchers: options.watchers,
    };
    // Everything together may take so long, whatever hangs.
    let most = Duration::from_millis(plan.window) + Duration::from_secs(options.rest_secs + 180);
    let began = Instant::now();
    let ran = timeout(most, scene(&options, plan, made, room.path())).await;
    let evidence = match ran {
        Ok(Ok(evidence)) => evidence,
        Ok(Err(e)) => return Err(format!("{e}; see {}", room.keep().display())),
        Err(_) => return Err(format!("the run hung; see {}", room.keep().display())),
    };
    let outcomes = check::all(&evidence);
    let length = Length::new(began.elapsed(), &evidence);
    let verdict = Verdict::new(&evidence, outcomes, length);
    verdict.print();
    let holds = verdict.holds();
    if !holds || options.keep {
        let kept = room.keep();
        verdict.write(&kept);
        keep_disks(&kept);
        println!("kept: {}", kept.display());
    }
    Ok(holds)
}

/// The small disks vanish with this process: what was on them is kept beside them.
fn keep_disks(dir: &std::path::Path) {
    for disk in ["data", "client-1", "repositories"] {
        let from = dir.join(disk);
        let to = dir.join(format!("{disk}.kept"));
        let copied =
            process::tool(&["cp", "-a", &from.display().to_string(), &to.display().to_string()]);
        if let Err(e) = copied {
            eprintln!("{e}");
        }
    }
}

async fn scene(
    options: &Options,
    plan: Plan,
    made: Made,
    dir: &std::path::Path,
) -> Result<Evidence, String> {
    let farm = Farm::start(dir, made, &plan.seed.to_string()).await?;
    let stop = CancellationToken::new();
    let reading = tokio::spawn(reader::watch(farm.dir.clone(), farm.arch.clone(), stop.clone()));
    let listing = tokio::spawn(hints::watch(farm.database.clone(), stop.clone()));
    let tending = tokio::spawn(tend(Arc::clone(&farm), stop.clone()));
    sleep(Duration::from_secs(2)).await;
    let before = look(&farm);
    let (start, first) = (Instant::now(), SystemClock.now().as_micros());
    let submitting = submit::all(&plan, farm.submitter()?, &farm.dir, start);
    let breaking = faults::all(&farm, &plan.faults, start);
    let (promises, done) = tokio::join!(submitting, breaking);
    for line in farm.all_lines() {
        line.calm();
        line.clear();
    }
    let healed = Instant::now();
    let rest = rest(&farm, Duration::from_secs(options.rest_secs)).await?;
    let last = SystemClock.now().as_micros();
    let logs = logs(&farm).await?;
    // A reader's last look comes after the last publication.
    stop.cancel();
    let observed = reading.await.map_err(|e| e.to_string())?;
    tending.await.map_err(|e| e.to_string())?;
    let waiting = listing.await.map_err(|e| e.to_string())??;
    let after = look(&farm);
    let world = World::read(&farm.database).await?;
    let usage = before
        .into_iter()
        .map(|(n, u)| (n.clone(), [u, after.get(&n).copied().flatten()]))
        .collect();
    let surprises = surprises(&farm);
    let secrets = farm.secrets.lock().map(|s| s.clone()).unwrap_or_default();
    Ok(Evidence {
        arch: farm.arch.clone(),
        dir: farm.dir.clone(),
        plan,
        world,
        promises,
        observed,
        waiting,
        deleted: farm.deleted.lock().map(|d| d.clone()).unwrap_or_default(),
        faults: done,
        logs,
        secrets,
        usage,
        surprises,
        played: farm.all_lines().map(|l| l.seen().1).sum(),
        connections: farm.all_lines().map(|l| l.seen().0).sum(),
        span: (first, last),
        rest: rest.then(|| u64::try_from(healed.elapsed().as_millis()).unwrap_or(0)),
    })
}

/// A supervisor: whoever dies is started again.
async fn tend(farm: Arc<Farm>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        farm.tend();
        sleep(Duration::from_millis(100)).await;
    }
}

fn look(farm: &Farm) -> BTreeMap<String, Option<(u64, u64)>> {
    let all = farm.processes();
    all.iter().map(|(n, p)| (n.clone(), p.pid().and_then(process::usage))).collect()
}

/// Whether every job came to its end and stayed there.
async fn rest(farm: &Farm, longest: Duration) -> Result<bool, String> {
    let start = Instant::now();
    let mut quiet = 0;
    while start.elapsed() < longest {
        let counts = statuses(&farm.database).await?;
        let open: usize = ["Waiting", "Blocked", "Building", "Cancelling", "Uploaded"]
            .iter()
            .filter_map(|s| counts.get(*s))
            .sum();
        // Directories of jobs, archives of logs and the outbox follow a moment later.
        quiet = if open == 0 { quiet + 1 } else { 0 };
        if quiet == 8 {
            return Ok(true);
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(false)
}

/// The log of every attempt, as the server serves it.
async fn logs(farm: &Farm) -> Result<BTreeMap<(i64, i64), Vec<u8>>, String> {
    let api = farm.admin()?;
    let mut logs = BTreeMap::new();
    for attempt in World::read(&farm.database).await?.attempts {
        let number = u32::try_from(attempt.number).ok();
        if let Ok(log) = api.log(pybit::core::model::JobId(attempt.job), number, 0).await {
            logs.insert((attempt.job, attempt.number), log.to_vec());
        }
    }
    Ok(logs)
}

/// Ends that no fault asked for, and defects.
fn surprises(farm: &Farm) -> Vec<String> {
    let mut found = Vec::new();
    for (name, process) in farm.processes().iter() {
        found.extend(process.surprises.iter().map(|s| format!("{name} ended by itself: {s}")));
        let said = std::fs::read(Process::log(process)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        found.extend(
            said.lines()
                .filter(|l| check::DEFECTS.iter().any(|d| l.contains(d)))
                .map(|l| format!("{name} {l}")),
        );
    }
    found
}
