//! Faults, carried out as the schedule says. Each heals itself after its time.

mod clock;
mod disk;
mod foreign;
mod hostile;
pub(crate) mod liar;
mod network;
mod process;
pub(crate) mod queues;
mod twin;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::farm::Farm;
use crate::plan::{Fault, Kind};

/// What became of a fault.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Done {
    #[serde(flatten)]
    pub(crate) fault: Fault,
    pub(crate) row: &'static str,
    /// Whom it hit, or why it hit nobody.
    pub(crate) hit: Result<String, String>,
    /// When it came and when it was healed, in milliseconds after the start.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Carries the schedule out; returns when the last fault is healed.
pub(crate) async fn all(farm: &Arc<Farm>, faults: &[Fault], start: Instant) -> Vec<Done> {
    let done = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for fault in faults {
        let (farm, fault, done) = (Arc::clone(farm), *fault, Arc::clone(&done));
        tasks.spawn(async move {
            sleep_until((start + Duration::from_millis(fault.at)).into()).await;
            let from = since(start);
            let hit = strike(&farm, &fault).await;
            let row = fault.kind.row();
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push(Done { fault, row, hit, from, to: since(start) });
        });
    }
    tasks.join_all().await;
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner).clone();
    done.sort_by_key(|d: &Done| d.from);
    done
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn strike(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    match fault.kind {
        Kind::KillServer => process::kill(farm, "web", fault).await,
        Kind::KillClient => process::kill(farm, "client", fault).await,
        Kind::KillWatcher => process::kill(farm, "watch", fault).await,
        Kind::KillTool => process::kill_tool(farm, fault).await,
        Kind::PauseServer => process::pause(farm, "web", fault).await,
        Kind::PauseClient => process::pause(farm, "client", fault).await,
        Kind::KillBroker => {
            process::kill_service(farm, farm.rabbitmq.as_ref(), farm.broker_port, fault).await
        }
        Kind::KillDatabase => {
            process::kill_service(farm, farm.postgres.as_ref(), farm.database_port, fault).await
        }
        Kind::PauseBroker => process::pause_service(farm.rabbitmq.as_ref(), fault).await,
        Kind::PauseDatabase => process::pause_service(farm.postgres.as_ref(), fault).await,
        Kind::TerminateBackends => process::terminate(farm).await,
        Kind::Reset
        | Kind::Blackhole
        | Kind::HalfOpen
        | Kind::Delay
        | Kind::Trickle
        | Kind::DropReply
        | Kind::Duplicate
        | Kind::Diverge
        | Kind::FlipByte
        | Kind::CutUpload => network::strike(farm, fault).await,
        Kind::SocketKill => network::kill_sockets(farm, fault),
        Kind::DiskFull => disk::fill(farm, fault).await,
        Kind::FsyncFails => disk::trace(farm, fault, "error=EIO").await,
        Kind::SlowDisk => disk::trace(farm, fault, "delay_enter=300000").await,
        Kind::ClockJump => clock::jump(farm, fault).await,
        Kind::Twin => twin::beside(farm, fault).await,
        Kind::LyingTool => liar::lie(farm).await,
        Kind::LoseQueues => queues::lose(farm, fault).await,
        Kind::Garbage if farm.rabbitmq.is_some() && fault.amount.is_multiple_of(2) => {
            foreign::messages(farm, fault).await
        }
        Kind::Garbage => hostile::garbage(farm, fault).await,
    }
}

/// One of several, as the schedule chose.
fn chosen<T: Clone>(from: &[T], fault: &Fault) -> Result<T, String> {
    let at = usize::try_from(fault.whom % (from.len().max(1) as u64)).unwrap_or(0);
    from.get(at).cloned().ok_or_else(|| "there is nobody to hit".to_owned())
}

async fn wait(fault: &Fault) {
    sleep(Duration::from_millis(fault.lasts)).await;
}

/// How many hit somebody, when so many tricks were played: one that is still waiting for its request has hit nobody.
pub(crate) fn hits(done: &[Done], played: u64) -> u64 {
    let hit = |d: &&Done| d.hit.is_ok();
    let (tricks, others): (Vec<_>, Vec<_>) =
        done.iter().filter(hit).partition(|d| d.fault.kind.waits_for_a_request());
    others.len() as u64 + played.min(tricks.len() as u64)
}

/// How many of each kind hit somebody.
pub(crate) fn by_kind(done: &[Done]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for fault in done.iter().filter(|d| d.hit.is_ok()) {
        let kind = serde_json::to_value(fault.fault.kind).unwrap_or_default();
        let kind = format!("{} {}", fault.row, kind.as_str().unwrap_or_default());
        *counts.entry(kind).or_default() += 1;
    }
    counts
}
