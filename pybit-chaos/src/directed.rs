//! Schedules that are directed at one thing: some kinds of faults alone, one story for every package.

use clap::Args;

use crate::plan::Kind;

/// What a schedule is directed at; by default at everything.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Direction {
    /// Only these kinds of faults, each as often as the others: `kill_server,pause_client`.
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    pub(crate) only: Vec<Kind>,
    /// Every package has this story: fails, waits, cancelled, superseded or plain.
    #[arg(long, value_parser = story)]
    pub(crate) story: Option<u64>,
    /// Every package goes into the repository that reprepro makes.
    #[arg(long)]
    pub(crate) real: bool,
}

impl Direction {
    /// The kinds that are drawn from, with how often each is drawn beside the others.
    pub(crate) fn kinds<const N: usize>(&self, all: [(Kind, u64); N]) -> Vec<(Kind, u64)> {
        if self.only.is_empty() {
            return all.into();
        }
        self.only.iter().map(|kind| (*kind, 1)).collect()
    }
}

/// A kind by the name that it has in reports.
fn kind(text: &str) -> Result<Kind, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("{text} is no kind of fault"))
}

/// A draw by which a package gets the story.
fn story(text: &str) -> Result<u64, String> {
    match text {
        "fails" => Ok(0),
        "waits" => Ok(8),
        "cancelled" => Ok(14),
        "superseded" => Ok(24),
        "plain" => Ok(32),
        _ => Err(format!("{text} is no story")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Backends, Plan, Story};

    #[test]
    fn a_directed_schedule_holds_nothing_else() {
        let direction = Direction {
            only: vec![kind("clock_jump").unwrap(), kind("kill_tool").unwrap()],
            story: Some(story("cancelled").unwrap()),
            real: true,
        };
        let plan = Plan::directed(3, Backends::SqliteZero, (60, 40, 1000), &direction);
        assert!(plan.faults.iter().all(|f| matches!(f.kind, Kind::ClockJump | Kind::KillTool)));
        assert!(plan.orders.iter().all(|o| matches!(o.story, Story::Cancelled(_))));
        assert!(plan.orders.iter().all(|o| o.suite == crate::plan::REAL));
        assert!(kind("mishap").is_err() && story("happy").is_err());
    }
}
