//! F1 to F5 and F14: whoever runs is killed or stands still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{chosen, wait};
use crate::farm::services::{Service, psql};
use crate::farm::{Farm, process};
use crate::plan::Fault;

pub(super) async fn kill(farm: &Arc<Farm>, who: &str, fault: &Fault) -> Result<String, String> {
    let name = chosen(&farm.names(who), fault)?;
    hold(farm, &name, true);
    wait(fault).await;
    hold(farm, &name, false);
    Ok(name)
}

/// Ends it and keeps it down, or lets it come back.
fn hold(farm: &Farm, name: &str, down: bool) {
    if let Some(process) = farm.processes().get_mut(name) {
        process.held = down;
        if down {
            process.kill();
        }
    }
}

/// Kills a publisher's tool while it works; waits a while for one.
pub(super) async fn kill_tool(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        let watchers: Vec<u32> = {
            let all = farm.processes();
            ["watch-real", "watch-real-2"].iter().filter_map(|n| all.get(*n)?.pid()).collect()
        };
        let tools: Vec<_> = watchers.into_iter().flat_map(process::below).collect();
        let wanted = |name: &str| name == "reprepro" || name == "gpg";
        if let Some((pid, name)) = tools.iter().find(|(_, name)| wanted(name)) {
            // Some of its work is done by then.
            sleep(Duration::from_millis(fault.amount % 30)).await;
            process::signal(*pid, Signal::SIGKILL);
            return Ok(format!("{name} {pid}"));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err("no tool ran".to_owned())
}

pub(super) async fn pause(farm: &Arc<Farm>, who: &str, fault: &Fault) -> Result<String, String> {
    let name = chosen(&farm.names(who), fault)?;
    let pid = farm.processes().get(&name).and_then(process::Process::pid);
    let pid = pid.ok_or_else(|| format!("{name} was down"))?;
    process::signal(pid, Signal::SIGSTOP);
    wait(fault).await;
    process::signal(pid, Signal::SIGCONT);
    Ok(name)
}

pub(super) async fn kill_service(
    _: &Arc<Farm>,
    service: Option<&Service>,
    port: u16,
    fault: &Fault,
) -> Result<String, String> {
    let service = service.ok_or("this farm has none")?;
    let pid = service.pid()?;
    let children = process::below(pid);
    service.kill();
    wait(fault).await;
    // A database whose processes are still there refuses to start, and one that another fault has stopped does not go by itself.
    for (child, _) in children {
        process::signal(child, Signal::SIGKILL);
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(150) {
        service.start()?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_mins(1) {
            if service.settle(port) {
                return Ok(format!("pid {pid}"));
            }
            sleep(Duration::from_millis(200)).await;
            if service.pid().is_ok_and(|p| !process::alive(p)) {
                break;
            }
        }
        // One that is slow to start must not come up beside the next: the farm would have a broker when it is to have none.
        if service.pid().is_ok_and(process::alive) {
            service.kill();
        }
    }
    Err("it did not start again".to_owned())
}

pub(super) async fn pause_service(
    service: Option<&Service>,
    fault: &Fault,
) -> Result<String, String> {
    let service = service.ok_or("this farm has none")?;
    let pid = service.pid()?;
    let mut all = vec![pid];
    all.extend(process::below(pid).into_iter().map(|(pid, _)| pid));
    for pid in &all {
        process::signal(*pid, Signal::SIGSTOP);
    }
    wait(fault).await;
    for pid in &all {
        process::signal(*pid, Signal::SIGCONT);
    }
    Ok(format!("{} processes", all.len()))
}

/// Ends every session that the farm has with its database.
pub(super) async fn terminate(farm: &Arc<Farm>) -> Result<String, String> {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    // The database may stand still, and it is this thread that lets it go on.
    let database = farm.database.clone();
    let ended = tokio::task::spawn_blocking(move || psql(&database, sql)).await;
    ended.map_err(|e| e.to_string())?.map(|n| format!("{} sessions", n.trim()))
}
