//! What a run says at its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::check::{Evidence, Outcome};
use crate::faults::{self, Done};
use crate::plan::Backends;
use crate::submit::Promise;

/// Four of five faults must hit somebody, else the farm was not under fire.
fn is_enough(hits: u64, planned: usize) -> bool {
    hits * 5 >= planned as u64 * 4
}

/// How long what took.
#[derive(Debug, Serialize)]
pub(crate) struct Length {
    seconds: u64,
    rest_ms: Option<u64>,
}

impl Length {
    pub(crate) fn new(all: Duration, evidence: &Evidence) -> Self {
        Self { seconds: all.as_secs(), rest_ms: evidence.rest }
    }
}

/// The line that a machine reads, and what stands above it.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    holds: bool,
    seed: u64,
    backends: Backends,
    jobs: usize,
    submissions: usize,
    attempts: usize,
    statuses: BTreeMap<String, usize>,
    /// Those of the schedule that hit somebody.
    faults: u64,
    faults_planned: usize,
    faults_by_kind: BTreeMap<String, u64>,
    missed: Vec<String>,
    lost: usize,
    doubled: usize,
    stuck: usize,
    mismatch: usize,
    asked_again: u32,
    connections: u64,
    tricks_played: u64,
    surprises: Vec<String>,
    invariants: BTreeMap<&'static str, (usize, usize)>,
    length: Length,
    #[serde(skip)]
    outcomes: BTreeMap<&'static str, Outcome>,
    #[serde(skip)]
    fault_log: Vec<Done>,
    #[serde(skip)]
    promises: Vec<Promise>,
}

impl Verdict {
    pub(crate) fn new(
        evidence: &Evidence,
        outcomes: BTreeMap<&'static str, Outcome>,
        length: Length,
    ) -> Self {
        let of = |names: &[&str]| {
            names.iter().filter_map(|n| outcomes.get(n)).map(|o| o.findings.len()).sum()
        };
        let mut statuses = BTreeMap::new();
        for job in &evidence.world.jobs {
            *statuses.entry(job.status.clone()).or_default() += 1;
        }
        let by_kind = faults::by_kind(&evidence.faults);
        let missed = evidence
            .faults
            .iter()
            .filter_map(|f| f.hit.as_ref().err().map(|why| format!("{:?}: {why}", f.fault.kind)));
        let invariants =
            outcomes.iter().map(|(n, o)| (*n, (o.looked_at, o.findings.len()))).collect();
        let (hits, planned) =
            (faults::hits(&evidence.faults, evidence.played), evidence.faults.len());
        Self {
            holds: is_enough(hits, planned) && outcomes.values().all(Outcome::holds),
            seed: evidence.plan.seed,
            backends: evidence.plan.backends,
            jobs: evidence.world.jobs.len(),
            submissions: evidence.world.submissions.len(),
            attempts: evidence.world.attempts.len(),
            statuses,
            faults: hits,
            faults_planned: planned,
            faults_by_kind: by_kind,
            missed: missed.collect(),
            lost: of(&["I01"]),
            doubled: of(&["I03", "I06", "I12"]),
            stuck: of(&["I07"]),
            mismatch: of(&["I09", "I10", "I13", "I14"]),
            asked_again: evidence.promises.iter().map(|p| p.again).sum(),
            connections: evidence.connections,
            tricks_played: evidence.played,
            surprises: evidence.surprises.clone(),
            invariants,
            length,
            outcomes,
            fault_log: evidence.faults.clone(),
            promises: evidence.promises.clone(),
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.holds
    }

    /// The table of invariants, the first findings of each, and the verdict as one line of JSON.
    pub(crate) fn print(&self) {
        for (name, outcome) in &self.outcomes {
            let state = match (outcome.holds(), outcome.findings.len()) {
                (true, _) => "holds".to_owned(),
                (false, 0) => "saw nothing".to_owned(),
                (false, n) => format!("{n} FINDINGS"),
            };
            let note = outcome.note.as_ref().map_or_else(String::new, |n| format!(" ({n})"));
            println!(
                "{name}  {state:<12} {:>6} looked at  {}{note}",
                outcome.looked_at, outcome.says
            );
            for finding in outcome.findings.iter().take(8) {
                println!("       {finding}");
            }
        }
        if !is_enough(self.faults, self.faults_planned) {
            println!("only {} of {} faults hit anybody", self.faults, self.faults_planned);
        }
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }

    /// Everything, for whoever looks for the cause.
    pub(crate) fn write(&self, dir: &Path) {
        let write = |name: &str, value: serde_json::Result<String>| {
            let _ = std::fs::write(dir.join(name), value.unwrap_or_default());
        };
        write("verdict.json", serde_json::to_string_pretty(self));
        write("findings.json", serde_json::to_string_pretty(&self.outcomes));
        write("faults.json", serde_json::to_string_pretty(&self.fault_log));
        write("promises.json", serde_json::to_string_pretty(&self.promises));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_hit_nobody_proves_nothing() {
        assert!(is_enough(160, 200) && is_enough(16, 20) && is_enough(0, 0));
        assert!(!is_enough(159, 200) && !is_enough(15, 20) && !is_enough(0, 1));
    }
}
