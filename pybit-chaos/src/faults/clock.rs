//! F10: wall clocks that jump. Monotonic clocks do not.

use std::sync::Arc;

use super::{chosen, wait};
use crate::farm::Farm;
use crate::plan::Fault;

pub(super) async fn jump(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let group = chosen(&["servers", "clients"], fault)?;
    let hours = [-48, -1, 1, 48][usize::try_from(fault.amount % 4).unwrap_or(0)];
    let file = farm.clock_file(group);
    if !file.exists() {
        return Err("libfaketime is not installed".to_owned());
    }
    std::fs::write(&file, format!("{hours:+}h\n")).map_err(|e| e.to_string())?;
    wait(fault).await;
    std::fs::write(&file, "+0\n").map_err(|e| e.to_string())?;
    Ok(format!("{group} {hours:+} hours"))
}
