//! Transactions that meet: many tasks through several servers on one database do what contradicts itself, and the farm
//! stays whole. Every race runs on both engines.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

#[path = "races/dropped.rs"]
mod dropped;
#[path = "races/files.rs"]
mod files;
#[path = "races/jobs.rs"]
mod jobs;
#[path = "races/submissions.rs"]
mod submissions;

use std::sync::Arc;

use pybit_backends::sql::SqliteFactory;
use pybit_core::conformance::support::{Store, together};
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use support::Database;

/// Several servers on one database.
struct Servers {
    handles: Vec<Store>,
    place: Place,
}

/// Where they keep it; removed in the end.
enum Place {
    File(#[expect(dead_code, reason = "it is kept, not read")] tempfile::TempDir),
    Database(Database),
}

impl Servers {
    async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::<dyn Storage>::new("storage").with(SqliteFactory);
        let mut settings = Settings::url(format!("sqlite://{}/farm.db", folder.path().display()));
        // Whoever waits for a file looks again after growing pauses, and may be passed over for long.
        settings.options.insert("busy_timeout_ms".to_owned(), 60_000.into());
        let mut handles = Vec::new();
        for _ in 0..2 {
            handles.push(registry.open(&settings).await.unwrap());
        }
        Self { handles, place: Place::File(folder) }
    }

    async fn on_postgres() -> Self {
        let database = Database::fresh().await;
        let mut handles = Vec::new();
        for _ in 0..3 {
            let handle = database.open().await;
            // Connections that are there make what starts together really meet.
            together(12, |_| {
                let handle = Arc::clone(&handle);
                async move { handle.counts().await.unwrap() }
            })
            .await;
            handles.push(handle);
        }
        Self { handles, place: Place::Database(database) }
    }

    /// Ends the servers. On PostgreSQL no two transactions have waited for each other in a circle: run again, they
    /// would go unseen.
    async fn end(self) {
        drop(self.handles);
        let Place::Database(database) = self.place else { return };
        let deadlocks = database.deadlocks().await;
        database.drop().await;
        assert_eq!(deadlocks, 0, "locks are taken in one order");
    }

    /// The server that the `n`th task uses.
    fn of(&self, n: usize) -> Store {
        Arc::clone(&self.handles[n % self.handles.len()])
    }
}

/// A race of a module as a test for each engine, on the runtime of its group.
macro_rules! on_both {
    ($($runtime:meta: $($module:ident::$race:ident),* $(,)?);* $(;)?) => {
        mod sqlite {
            $($(#[$runtime]
            async fn $race() {
                let servers = super::Servers::on_sqlite().await;
                super::$module::$race(&servers).await;
                servers.end().await;
            })*)*
        }
        mod postgres {
            $($(#[$runtime]
            #[ignore = "needs PostgreSQL"]
            async fn $race() {
                let servers = super::Servers::on_postgres().await;
                super::$module::$race(&servers).await;
                servers.end().await;
            })*)*
        }
    };
}

on_both! {
    tokio::test(flavor = "multi_thread", worker_threads = 4):
    submissions::one_key_makes_one_submission,
    submissions::the_newest_version_is_what_stays,
    submissions::plans_in_opposite_order_wait_in_one_order,
    submissions::one_digest_makes_one_token,
    jobs::a_thousand_jobs_are_claimed_once_each,
    jobs::one_claim_made_often_takes_one_job,
    jobs::a_result_and_a_lapse_exclude_each_other,
    jobs::heartbeats_and_newer_versions_do_not_wait_in_a_circle,
    jobs::hints_are_marked_by_two_servers,
    files::one_list_declared_often_makes_its_files_once,
    files::no_file_joins_a_result,
    files::parts_stay_whole;

    // One thread: what works in tasks of its own never ends before the caller is polled again, so that there is a half-way.
    tokio::test(flavor = "current_thread"):
    dropped::a_submission_is_recorded_whole_or_not_at_all,
    dropped::a_claim_that_was_given_up_gives_the_same_job_again,
    dropped::no_connection_stays_in_a_transaction_that_was_given_up;
}
