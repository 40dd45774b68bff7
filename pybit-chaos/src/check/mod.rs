//! What must be true whatever happened: one function for each invariant of `docs/chaos.md`.

mod bytes;
mod health;
mod jobs;
mod life;
mod repository;
#[cfg(test)]
mod tests;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::farm::hints::Waiting;
use crate::farm::reader::Observed;
use crate::faults::Done;
use crate::faults::queues::Deleted;
use crate::plan::Plan;
use crate::submit::Promise;
pub(crate) use health::DEFECTS;
use world::World;

/// Everything that a run has left to look at.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) plan: Plan,
    pub(crate) arch: String,
    pub(crate) dir: PathBuf,
    pub(crate) world: World,
    pub(crate) promises: Vec<Promise>,
    pub(crate) observed: Observed,
    /// The hints that were not sent yet, as they were seen five times a second.
    pub(crate) waiting: Vec<Waiting>,
    /// Queues that a fault has deleted, and what they held afterwards.
    pub(crate) deleted: Vec<Deleted>,
    pub(crate) faults: Vec<Done>,
    /// Logs by job and attempt, as the server serves them.
    pub(crate) logs: BTreeMap<(i64, i64), Vec<u8>>,
    pub(crate) secrets: Vec<String>,
    /// Memory in KiB and open files of each process: after the start, and at rest afterwards.
    pub(crate) usage: BTreeMap<String, [Option<(u64, u64)>; 2]>,
    /// Ends of processes that no fault asked for.
    pub(crate) surprises: Vec<String>,
    /// Connections that went through a proxy, and tricks that were played on one.
    pub(crate) connections: u64,
    pub(crate) played: u64,
    /// The run's first and last microsecond, by the wall clock of the harness.
    pub(crate) span: (i64, i64),
    /// Milliseconds from the last heal to rest, if it came to rest.
    pub(crate) rest: Option<u64>,
}

/// What an invariant found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) says: &'static str,
    /// How many things were looked at.
    pub(crate) looked_at: usize,
    /// Of what there must be at least one, else nothing was proved.
    pub(crate) must_see: bool,
    pub(crate) findings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Outcome {
    pub(crate) fn new(says: &'static str) -> Self {
        Self { says, must_see: true, ..Self::default() }
    }

    /// Looks at one thing: `wrong` says what is wrong with it where `fine` is false.
    pub(crate) fn look(&mut self, fine: bool, wrong: impl FnOnce() -> String) {
        self.looked_at += 1;
        if !fine {
            self.findings.push(wrong());
        }
    }

    /// Where there need not be anything to look at.
    pub(crate) fn optional(mut self) -> Self {
        self.must_see = false;
        self
    }

    pub(crate) fn holds(&self) -> bool {
        self.findings.is_empty() && (self.looked_at > 0 || !self.must_see)
    }
}

/// Checks all of them.
pub(crate) fn all(evidence: &Evidence) -> BTreeMap<&'static str, Outcome> {
    BTreeMap::from([
        ("I01", jobs::promised(evidence)),
        ("I02", jobs::gapless(evidence)),
        ("I03", jobs::one_success(evidence)),
        ("I04", jobs::ends_are_ends(evidence)),
        ("I05", jobs::no_stale_write(evidence)),
        ("I06", jobs::attempts_grow(evidence)),
        ("I07", jobs::at_rest(evidence)),
        ("I08", repository::cancelled_unpublished(evidence)),
        ("I09", bytes::logs(evidence)),
        ("I10", bytes::files(evidence)),
        ("I11", bytes::staging(evidence)),
        ("I12", repository::one_digest(evidence)),
        ("I13", repository::published(evidence)),
        ("I14", repository::readable(evidence)),
        ("I15", health::outbox(evidence)),
        ("I16", life::retries(evidence)),
        ("I17", life::dep_waits(evidence)),
        ("I18", life::priorities(evidence)),
        ("I19", health::nothing_left(evidence)),
        ("I20", health::slots(evidence)),
        ("I21", health::usage(evidence)),
        ("I22", health::secrets(evidence)),
        ("I23", health::recovery(evidence)),
        ("I24", life::clocks(evidence)),
        ("I25", health::defects(evidence)),
    ])
}
