//! F3: somebody deletes the broker's queues while nobody listens. What is sent from then on must be held all the same.

use std::sync::{Arc, PoisonError};

use nix::sys::signal::Signal;
use pybit::core::clock::{Clock, SystemClock};

use super::wait;
use crate::farm::services::Service;
use crate::farm::{Farm, process};
use crate::plan::Fault;

/// What became of deleted queues; times in microseconds by the wall clock of the harness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deleted {
    /// When the last was deleted.
    pub(crate) from: i64,
    /// When the queues were looked at again.
    pub(crate) to: i64,
    /// The hints that they held then.
    pub(crate) hints: u64,
}

/// All queues, with what each holds.
pub(super) async fn all(service: &Service) -> Result<Vec<(String, u64)>, String> {
    let said = service.control(&["list_queues", "--no-table-headers", "name", "messages"]).await?;
    let queue = |line: &str| {
        let (name, messages) = line.trim().rsplit_once('\t')?;
        Some((name.to_owned(), messages.parse().ok()?))
    };
    Ok(said.lines().filter_map(queue).collect())
}

/// Those of routes.
async fn queues(service: &Service) -> Result<Vec<(String, u64)>, String> {
    let mut queues = all(service).await?;
    queues.retain(|(name, _)| name.ends_with("_deb"));
    Ok(queues)
}

/// Clients stand still meanwhile, so that nobody else makes the queues again and nobody takes anything from them.
pub(super) async fn lose(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let service = farm.rabbitmq.as_ref().ok_or("this farm has no broker")?;
    let clients: Vec<u32> = {
        let all = farm.processes();
        all.iter()
            .filter(|(name, _)| name.starts_with("client"))
            .filter_map(|(_, p)| p.pid())
            .collect()
    };
    let tell = |signal| clients.iter().for_each(|pid| process::signal(*pid, signal));
    tell(Signal::SIGSTOP);
    let done = deleted(farm, service, fault).await;
    tell(Signal::SIGCONT);
    done
}

async fn deleted(farm: &Arc<Farm>, service: &Service, fault: &Fault) -> Result<String, String> {
    let there = queues(service).await?;
    for (name, _) in &there {
        service.control(&["delete_queue", name]).await?;
    }
    let from = SystemClock.now().as_micros();
    wait(fault).await;
    let to = SystemClock.now().as_micros();
    let hints = queues(service).await?.iter().map(|(_, messages)| messages).sum();
    let mut all = farm.deleted.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(Deleted { from, to, hints });
    Ok(format!("{} queues; {hints} hints afterwards", there.len()))
}
