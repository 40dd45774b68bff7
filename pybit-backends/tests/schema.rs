//! The schema of each engine: migrations, and the triggers that hold where the program fails; and that both are one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "schema/parity.rs"]
mod parity;
#[path = "schema/postgres.rs"]
mod postgres;
#[path = "schema/sqlite.rs"]
mod sqlite;
mod support;

use pybit_core::model::JobStatus;

/// The shortest legal way from `Waiting` to a status.
fn way_to(status: JobStatus) -> Vec<JobStatus> {
    let mut ways = vec![vec![JobStatus::Waiting]];
    let mut at = 0;
    loop {
        let way = ways[at].clone();
        let last = *way.last().unwrap();
        if last == status {
            return way;
        }
        ways.extend(last.next().iter().map(|next| [way.as_slice(), &[*next]].concat()));
        at += 1;
    }
}
