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

/// A connection to a farm's database, past the program.
trait Raw {
    async fn run(&mut self, sql: &str) -> sqlx::Result<u64>;
    /// A job in a status, as a program that keeps to no rule would write it; its number.
    async fn add_job(&mut self, status: &str) -> sqlx::Result<i64>;
}

/// Changes a job from each status to each other: the database allows what [`JobStatus::may_become`] does.
async fn assert_transitions_agree(connection: &mut impl Raw) {
    for from in JobStatus::ALL {
        for to in JobStatus::ALL {
            let id = connection.add_job("Waiting").await.unwrap();
            for step in &way_to(from)[1..] {
                let sql = format!("UPDATE job SET status = '{step}' WHERE id = {id}");
                assert_eq!(connection.run(&sql).await.unwrap(), 1, "on the way to {from}");
            }
            let sql = format!("UPDATE job SET status = '{to}' WHERE id = {id}");
            let changed = connection.run(&sql).await;
            assert_eq!(changed.is_ok(), from.may_become(to), "{from} to {to}: {changed:?}");
        }
    }
}
