//! F15: two clients with one credential.

use std::sync::Arc;

use super::{chosen, wait};
use crate::farm::Farm;
use crate::farm::process::Process;
use crate::plan::Fault;

/// What a client says when it has heard of the other.
const REPLACED: &str = "another process runs as the build client";

/// Starts a second client with the name and token of one that runs, on another machine as it were; later ends it, and starts
/// the first one again, as somebody would who has seen what it says.
pub(super) async fn beside(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let name = chosen(&farm.names("client"), fault)?;
    let said = || replaced(farm, &name);
    let before = said();
    let twin = format!("twin-of-{name}");
    let config = |name: &str| farm.dir.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(config(&name)).map_err(|e| e.to_string())?;
    let work = |name: &str| format!("work_dir = \"{}\"", farm.dir.join(name).display());
    let text = text.replace(&work(&name), &work(&twin));
    if farm.processes().get(&twin).is_some_and(|p| p.pid().is_some()) {
        return Err(format!("{name} has one already"));
    }
    farm.add(&twin, &text, &["client"], false)?;
    wait(fault).await;
    let heard = said() > before;
    for (name, down) in [(&twin, true), (&name, false)] {
        if let Some(process) = farm.processes().get_mut(name) {
            // The supervisor starts the first one again unless another fault holds it down.
            process.held |= down;
            process.kill();
        }
    }
    Ok(format!("{name}, which {}", if heard { "gave way" } else { "had not heard of it" }))
}

/// How often a client has said that it was replaced.
fn replaced(farm: &Farm, name: &str) -> usize {
    let log = farm.processes().get(name).map(Process::log);
    let said = log.and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
    String::from_utf8_lossy(&said).matches(REPLACED).count()
}
