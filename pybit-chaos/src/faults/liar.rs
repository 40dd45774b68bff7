//! A repository tool that says it has done what it has not: this program, mounted over reprepro where nobody else sees it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::farm::{Farm, process};

/// Where the farm's publishers look for the tool.
const TOOL: &str = "/usr/bin/reprepro";

fn truth(dir: &Path) -> PathBuf {
    dir.join("reprepro-itself")
}

fn order(dir: &Path) -> PathBuf {
    dir.join("reprepro-lies")
}

/// The next time that something is to be included, it is not, and the tool says that it is.
pub(super) async fn lie(farm: &Arc<Farm>) -> Result<String, String> {
    let text = |e: std::io::Error| e.to_string();
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    if !truth(&farm.dir).exists() {
        std::fs::copy(TOOL, truth(&farm.dir)).map_err(text)?;
        let me = std::env::current_exe().map_err(text)?;
        process::tool(&["mount", "--bind", &me.display().to_string(), TOOL])?;
    }
    let order = order(&farm.dir);
    std::fs::write(&order, "").map_err(text)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if !order.exists() {
            return Ok("reprepro".to_owned());
        }
        sleep(Duration::from_millis(50)).await;
    }
    let _ = std::fs::remove_file(&order);
    Err("nothing was included".to_owned())
}

/// The liar itself; `None` where this process was not started as the tool.
#[expect(
    clippy::disallowed_methods,
    reason = "this program is replaced by the tool that it stands for"
)]
pub(crate) fn played() -> Option<ExitCode> {
    use std::os::unix::process::CommandExt;
    let argv: Vec<String> = std::env::args().collect();
    if !argv.first().is_some_and(|name| name.ends_with("reprepro")) {
        return None;
    }
    let dir = argv.iter().find_map(|a| a.split_once("/repositories/").map(|(dir, _)| dir))?;
    // `--basedir=/somewhere` and the like.
    let dir = Path::new(&dir[dir.find('/')?..]);
    let includes =
        argv.iter().any(|a| matches!(a.as_str(), "includedeb" | "include" | "includedsc"));
    if includes && std::fs::remove_file(order(dir)).is_ok() {
        return Some(ExitCode::SUCCESS);
    }
    let error = std::process::Command::new(truth(dir)).args(&argv[1..]).exec();
    eprintln!("{error}");
    Some(ExitCode::from(255))
}
