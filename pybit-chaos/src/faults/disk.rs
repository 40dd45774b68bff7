//! F7 to F9: disks that are full, that fail, that are slow.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{chosen, wait};
use crate::farm::{Farm, process};
use crate::plan::Fault;

/// Fills one of the farm's small disks to the last byte, and frees it again.
pub(super) async fn fill(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("only root can make a small disk".to_owned());
    }
    let disk = chosen(&["data", "client-1", "repositories"], fault)?;
    let filler = farm.dir.join(disk).join("filler");
    let written = pour(&filler);
    wait(fault).await;
    std::fs::remove_file(&filler).map_err(|e| e.to_string())?;
    match written {
        0 => Err(format!("{disk} was full already")),
        bytes => Ok(format!("{disk}: {} KiB", bytes >> 10)),
    }
}

/// How many bytes went in.
fn pour(filler: &Path) -> usize {
    let Ok(mut file) = File::create(filler) else { return 0 };
    let mut poured = 0;
    for size in [1 << 20, 4096, 1] {
        let piece = vec![0; size];
        while file.write_all(&piece).is_ok() {
            poured += size;
        }
    }
    poured
}

/// Makes every synchronisation of a process fail, or wait.
pub(super) async fn trace(farm: &Arc<Farm>, fault: &Fault, what: &str) -> Result<String, String> {
    let names = [farm.names("web"), farm.names("client"), farm.names("watch")].concat();
    let name = chosen(&names, fault)?;
    let pid = farm.processes().get(&name).and_then(process::Process::pid);
    let pid = pid.ok_or_else(|| format!("{name} was down"))?;
    let inject = format!("inject=fsync,fdatasync:{what}");
    let argv = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-p",
        &pid.to_string(),
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &inject,
    ]
    .map(str::to_owned);
    let mut strace = process::command(&argv).spawn().map_err(|e| format!("strace: {e}"))?;
    wait(fault).await;
    process::signal(strace.id(), Signal::SIGINT);
    for _ in 0..100 {
        if strace.try_wait().ok().flatten().is_some() {
            return Ok(name);
        }
        sleep(Duration::from_millis(20)).await;
    }
    let _ = strace.kill();
    let _ = strace.wait();
    Ok(name)
}
