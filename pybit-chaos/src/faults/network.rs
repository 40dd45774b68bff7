//! F6 and F13: what lines do to those who talk over them.

use std::sync::Arc;
use std::time::Duration;

use super::{chosen, wait};
use crate::farm::{Farm, process};
use crate::plan::{Fault, Kind};
use crate::proxy::{Proxy, Trick, Weather};

pub(super) async fn strike(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let lines: Vec<&Proxy> = if fault.kind.waits_for_a_request() {
        farm.lines.iter().collect()
    } else {
        farm.all_lines().collect()
    };
    let line = chosen(&lines, fault)?;
    let place = format!("line {}", line.port());
    match fault.kind {
        Kind::Reset => line.reset(),
        Kind::DropReply => line.trick(Trick::DropReply),
        Kind::Duplicate => line.trick(Trick::Duplicate),
        Kind::Diverge => line.trick(Trick::Diverge),
        Kind::FlipByte => line.trick(flip(fault.amount)),
        Kind::CutUpload => line.trick(Trick::CutUpload(cut_at(fault.amount))),
        Kind::Blackhole => over(line, Weather::Blackhole, fault).await,
        Kind::HalfOpen => over(line, Weather::HalfOpen, fault).await,
        Kind::Delay => over(line, Weather::Delay(Duration::from_millis(200)), fault).await,
        _ => over(line, Weather::Trickle(Duration::from_secs(1)), fault).await,
    }
    Ok(place)
}

/// Half of the flips meet requests, half of them answers.
fn flip(amount: u64) -> Trick {
    let draw = usize::try_from(amount >> 1).unwrap_or(0);
    if amount.is_multiple_of(2) { Trick::FlipRequest(draw) } else { Trick::FlipAnswer(draw) }
}

/// The offsets at which an upload is cut: the edges of pieces, before its last byte, and anywhere.
fn cut_at(amount: u64) -> usize {
    let anywhere = usize::try_from(amount >> 8).unwrap_or(0) % 100_000;
    let offsets = [0, 1, 65_535, 65_536, usize::MAX, anywhere, anywhere];
    offsets[usize::try_from(amount % 7).unwrap_or(0)]
}

async fn over(line: &Proxy, weather: Weather, fault: &Fault) {
    line.set(weather);
    wait(fault).await;
    line.clear();
}

/// Kills the connections of a server in the kernel.
pub(super) fn kill_sockets(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let port = chosen(&farm.ports, fault)?;
    let filter = format!("sport = :{port}");
    process::tool(&["ss", "-K", "-t", "state", "established", &filter]).map(|said| {
        format!("{} connections of port {port}", said.lines().count().saturating_sub(1))
    })
}
