//! The proof of the checker: a build with one rule left out must not hold, the same build with all of its rules must.
//!
//! Each rule has a schedule in which its absence can show: kinds of faults of its own, and where the gap is a matter of
//! microseconds a point at which whoever reaches it stands still (`PYBIT_TRIAL_STALL`), so that the fault comes in between.

use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use clap::Args;
use pybit::core::trial::{self, Mutation};
use serde_json::Value;

use crate::farm::process::command;

/// What is looked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Names of rules, as in `PYBIT_TRIAL_MUTATION`; all of them where none is named.
    names: Vec<String>,
    /// How many seeds a defect may hide from the checker.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Only the rules that show on this pair: postgres+rabbitmq or sqlite+zeromq.
    #[arg(long)]
    backends: Option<String>,
    /// Starts private services for each run that needs some: `tools/services`. Without it the ones that the environment
    /// names are used, by one run.
    #[arg(long)]
    services: Option<std::path::PathBuf>,
    /// Options of every run, after all others.
    #[arg(long, allow_hyphen_values = true, value_delimiter = ' ')]
    with: Vec<String>,
}

/// The schedule in which the absence of a rule shows.
struct Trial {
    rule: Mutation,
    backends: &'static str,
    /// Options of the run.
    words: &'static str,
    /// Only these invariants count; all where none is named.
    counts: &'static [&'static str],
}

const SQLITE: &str = "sqlite+zeromq";
const POSTGRES: &str = "postgres+rabbitmq";

const TRIALS: [Trial; 12] = [
    Trial {
        rule: Mutation::DropCasOnFinish,
        backends: SQLITE,
        // Each result is held back until the lease of a client that stands still has lapsed and the job is built again;
        // the result of a killed one would go with its connection. Threads enough for that.
        words: "--jobs 40 --faults 15 --window-secs 50 --clients 3 --story plain --only pause_client \
                --env PYBIT_TRIAL_STALL=finish_checked_before_commit:5000 --env TOKIO_WORKER_THREADS=16",
        counts: &[],
    },
    Trial {
        rule: Mutation::FenceByClient,
        backends: SQLITE,
        // A client hears late that it has lost a job, and meanwhile gets it again with its other slot. The farm has little
        // time for heartbeats then.
        words: "--jobs 80 --faults 16 --window-secs 45 --slow 4 --story plain --clients 2 --only blackhole,half_open \
                --env PYBIT_TRIAL_STALL=heartbeat_after_commit_before_reply:700",
        counts: &["I09", "I10"],
    },
    Trial {
        rule: Mutation::MarkBeforeConfirm,
        backends: POSTGRES,
        words: "--jobs 80 --faults 3 --window-secs 45 --story plain --only kill_broker",
        counts: &["I15"],
    },
    Trial {
        rule: Mutation::PublishWithoutMandatory,
        backends: POSTGRES,
        words: "--jobs 80 --faults 2 --window-secs 40 --story plain --only lose_queues",
        counts: &["I15"],
    },
    Trial {
        rule: Mutation::ExpireByWallClock,
        backends: SQLITE,
        words: "--jobs 80 --faults 12 --window-secs 40 --slow 6 --story plain --only clock_jump",
        counts: &["I16"],
    },
    Trial {
        rule: Mutation::NoRearm,
        backends: SQLITE,
        words: "--jobs 80 --faults 5 --window-secs 20 --story plain --only kill_server",
        counts: &["I16"],
    },
    Trial {
        rule: Mutation::RowBeforeBlob,
        backends: SQLITE,
        words: "--jobs 60 --faults 10 --window-secs 25 --story plain --only kill_server \
                --env PYBIT_TRIAL_STALL=piece_after_row_before_reply:200",
        counts: &[],
    },
    Trial {
        rule: Mutation::SkipOverlapCompare,
        backends: SQLITE,
        words: "--jobs 60 --faults 30 --window-secs 20 --story plain --only diverge",
        counts: &[],
    },
    Trial {
        rule: Mutation::FinishWhileCancelling,
        backends: SQLITE,
        // Each result is held back between its check and its commit, and the order to stop, too: its client would take the
        // result back.
        words: "--jobs 120 --faults 5 --window-secs 40 --story cancelled --only pause_client \
                --env PYBIT_TRIAL_STALL=finish_checked_before_commit:150,cancel_after_commit_before_order:1000 \
                --env TOKIO_WORKER_THREADS=16",
        counts: &[],
    },
    Trial {
        rule: Mutation::TrustTool,
        backends: SQLITE,
        words: "--jobs 40 --faults 5 --window-secs 30 --story plain --real --only lying_tool --watchers 1",
        counts: &[],
    },
    Trial {
        rule: Mutation::PublishInPlace,
        backends: SQLITE,
        words: "--jobs 40 --faults 3 --window-secs 30 --story plain --real --only kill_watcher \
                --env PYBIT_TRIAL_STALL=publisher_snapshot_before_swap:300",
        counts: &["I14"],
    },
    Trial {
        rule: Mutation::TrustBodies,
        backends: SQLITE,
        words: "--jobs 60 --faults 60 --window-secs 25 --story plain --only flip_byte",
        counts: &[],
    },
];

/// What a run found: findings by invariant. `Err` where it could not be made.
type Found = Result<BTreeMap<String, u64>, String>;

impl Options {
    /// Goes through the rules; a failure where the checker is blind for one, or finds something where nothing is broken.
    pub(crate) fn run(&self) -> ExitCode {
        if !trial::IS_ON {
            eprintln!("pybit-chaos: this is not a build with the feature `trial`");
            return ExitCode::from(2);
        }
        println!("{:<26} {:<18} {:>4} {:>5}  what fails", "broken rule", "pair", "seed", "s");
        let wanted = |t: &&Trial| {
            (self.names.is_empty() || self.names.iter().any(|n| n == t.rule.name()))
                && self.backends.as_ref().is_none_or(|b| b == t.backends)
        };
        let mut blind = 0;
        for trial in TRIALS.iter().filter(wanted) {
            let whole = self.once(trial, 1, None);
            let sound = matches!(&whole, Ok(found) if found.is_empty());
            let caught = (1..=self.seeds).any(|seed| {
                let found = self.once(trial, seed, Some(trial.rule));
                matches!(&found, Ok(found) if !found.is_empty())
            });
            blind += u32::from(!(sound && caught));
        }
        ExitCode::from(u8::from(blind > 0))
    }

    /// One run, and its row of the table.
    fn once(&self, trial: &Trial, seed: u64, broken: Option<Mutation>) -> Found {
        let start = Instant::now();
        let found = self.made(trial, seed, broken);
        let what = match &found {
            Err(e) => format!("NO RUN: {e}"),
            Ok(found) if found.is_empty() => "nothing".to_owned(),
            Ok(found) => {
                let each: Vec<_> = found.iter().map(|(n, c)| format!("{n}:{c}")).collect();
                each.join(" ")
            }
        };
        let name = broken
            .map_or_else(|| format!("  without {}", trial.rule.name()), |b| b.name().to_owned());
        let seconds = start.elapsed().as_secs();
        println!("{name:<26} {:<18} {seed:>4} {seconds:>5}  {what}", trial.backends);
        found
    }

    fn made(&self, trial: &Trial, seed: u64, broken: Option<Mutation>) -> Found {
        let me = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut argv = Vec::new();
        // What the harness starts again ends with it: each run has services of its own.
        if let Some(services) = self.services.as_ref().filter(|_| trial.backends == POSTGRES) {
            argv.extend([services.display().to_string(), "run".to_owned(), "--".to_owned()]);
        }
        argv.extend([me.display().to_string(), "run".to_owned()]);
        argv.extend(["--seed".to_owned(), seed.to_string()]);
        // Hints that go astray by themselves would hide the ones that a broken rule loses.
        let words = ["--backends", trial.backends, "--rest-secs", "90", "--hints", "none"];
        argv.extend(words.map(str::to_owned));
        argv.extend(trial.words.split_whitespace().map(str::to_owned));
        if let Some(rule) = broken {
            argv.extend(["--env".to_owned(), format!("PYBIT_TRIAL_MUTATION={}", rule.name())]);
        }
        argv.extend(self.with.iter().cloned());
        let ran = command(&argv).stderr(Stdio::piped()).output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let Some(verdict) = said.lines().find(|l| l.starts_with("{\"holds\"")) else {
            return Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned());
        };
        let verdict: Value = serde_json::from_str(verdict).map_err(|e| e.to_string())?;
        if verdict["faults"] == 0 {
            return Err(format!("no fault hit anybody: {}", verdict["missed"]));
        }
        Ok(failed(&verdict, trial.counts))
    }
}

/// The invariants of a verdict that were found broken, as far as they count, and how often. One that saw nothing is not: a
/// schedule of one story has no work for some.
fn failed(verdict: &Value, counts: &[&str]) -> BTreeMap<String, u64> {
    let mut failed = BTreeMap::new();
    for (name, seen) in verdict["invariants"].as_object().into_iter().flatten() {
        let findings = seen[1].as_u64().unwrap_or(0);
        if findings > 0 && (counts.is_empty() || counts.contains(&name.as_str())) {
            failed.insert(name.clone(), findings);
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_verdict_is_read() {
        let verdict =
            json!({"holds": false, "invariants": {"I01": [5, 0], "I13": [5, 2], "I07": [1, 1]}});
        assert_eq!(failed(&verdict, &["I13"]), BTreeMap::from([("I13".to_owned(), 2)]));
        assert_eq!(failed(&verdict, &[]).len(), 2);
        assert!(failed(&json!({"holds": true, "invariants": {"I01": [5, 0]}}), &[]).is_empty());
    }
}
