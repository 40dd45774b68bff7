//! Several servers on one database: what they do by themselves is done once, and goes on when one of them dies. Each has
//! a clock of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use pybit_backends::sql::{PostgresFactory, SqliteFactory};
use pybit_core::clock::{Clock, ManualClock};
use pybit_core::conformance::support::{
    Store, apply, at, bring, ending, now, planned, planned_in, report, submit, submit_and_take,
    submit_one, take, target,
};
use pybit_core::farm::JobHistory;
use pybit_core::memory::MemoryTransport;
use pybit_core::model::{Event, Job, JobStatus, Outcome};
use pybit_core::protocol::{Held, Verdict};
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::transport::Transport;
use pybit_core::{Farm, Policy};
use sqlx::Connection;

/// One server.
struct Server {
    farm: Farm,
    clock: Arc<ManualClock>,
    hints: Arc<MemoryTransport>,
}

/// A database that outlives its servers.
struct Database {
    settings: Settings,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/farm.db", folder.path().display());
        Self { settings: Settings::url(url), _folder: Some(folder) }
    }

    async fn postgres() -> Self {
        let settings = support::Database::fresh().await.settings();
        Self { settings, _folder: None }
    }

    async fn server(&self) -> Server {
        let registry =
            Registry::<dyn Storage>::new("storage").with(SqliteFactory).with(PostgresFactory);
        let storage = registry.open(&self.settings).await.unwrap();
        let clock = Arc::new(ManualClock::at(at(0)));
        let hints = Arc::new(MemoryTransport::default());
        let (ticking, transport): (Arc<dyn Clock>, Arc<dyn Transport>) =
            (Arc::clone(&clock) as _, Arc::clone(&hints) as _);
        let farm = Farm::with_policy(storage, transport, [], ticking, Policy::default());
        Server { farm, clock, hints }
    }

    async fn servers(&self) -> [Server; 2] {
        [self.server().await, self.server().await]
    }
}

fn ttl() -> Duration {
    Duration::from_millis(Policy::default().lease_ttl_ms)
}

/// How often a server looks at the leases.
fn tick() -> Duration {
    ttl() / 8
}

impl Server {
    fn store(&self) -> &Store {
        self.farm.storage()
    }

    /// A tick passes for this server, and it looks at the leases; how many have lapsed.
    async fn sweep(&self) -> usize {
        self.clock.advance(tick());
        self.farm.reap(tick()).await.unwrap()
    }

    /// The client of `job` reports to this server.
    async fn beat(&self, job: &Job) -> Verdict {
        let held = [Held { job: job.id, attempt: job.attempt }];
        let told = self.farm.heartbeat(&report("box", &[target("amd64")]), &held).await;
        told.unwrap().0.remove(0)
    }

    async fn events(&self, job: &Job) -> Vec<Event> {
        self.store().events(job.id).await.unwrap()
    }
}

/// Runs a promise on both engines.
macro_rules! on_both_engines {
    ($($promise:ident, $on_postgres:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $promise() {
            promises::$promise(Database::file()).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        #[ignore = "needs PostgreSQL"]
        async fn $on_postgres() {
            promises::$promise(Database::postgres().await).await;
        }
    )*};
}

on_both_engines! {
    heartbeats_through_one_server_keep_the_lease_on_all, heartbeats_through_one_server_keep_the_lease_on_all_postgres;
    a_lease_lapses_once_however_many_servers_sweep, a_lease_lapses_once_however_many_servers_sweep_postgres;
    a_server_that_was_stopped_takes_no_lease, a_server_that_was_stopped_takes_no_lease_postgres;
    a_blocked_job_is_freed_once, a_blocked_job_is_freed_once_postgres;
    hints_that_a_dead_server_left_are_sent_by_another, hints_that_a_dead_server_left_are_sent_by_another_postgres;
    a_job_is_shown_with_its_past_as_of_one_moment, a_job_is_shown_with_its_past_as_of_one_moment_postgres;
    one_unreadable_job_keeps_no_other_waiting, one_unreadable_job_keeps_no_other_waiting_postgres;
}

mod promises {
    use super::*;

    pub(super) async fn heartbeats_through_one_server_keep_the_lease_on_all(database: Database) {
        let [one, two] = database.servers().await;
        let job = submit_and_take(one.store(), "box", planned("hello", "1")).await;
        for step in 0..3 * 8 {
            if step % 2 == 0 {
                assert_eq!(one.beat(&job).await, Verdict::Continue);
            }
            assert_eq!((one.sweep().await, two.sweep().await), (0, 0), "tick {step}");
        }
        // The first server dies, and its client with it: the second one has watched the lease all the time.
        drop(one);
        let mut ticks = 1;
        while two.sweep().await == 0 {
            ticks += 1;
            assert!(ticks <= 9, "taken over within one time to live and a tick");
        }
        assert!(ticks >= 7, "and not before: {ticks}");
        let lapsed = now(two.store(), &job).await;
        assert_eq!((lapsed.status, lapsed.attempt), (JobStatus::Waiting, 1));
    }

    pub(super) async fn a_lease_lapses_once_however_many_servers_sweep(database: Database) {
        let [one, two] = database.servers().await;
        let mut jobs = Vec::new();
        for n in 0..20 {
            let planned = planned_in(&format!("p{n}"), "1", target(&format!("arch{n}")));
            jobs.push(submit_and_take(one.store(), "box", planned).await);
        }
        for _ in 0..8 {
            assert_eq!((one.sweep().await, two.sweep().await), (0, 0));
        }
        let (first, second) = tokio::join!(one.sweep(), two.sweep());
        assert!(first == 20 || second == 20, "{first} and {second}");
        for job in &jobs {
            let events: Vec<_> = one.events(job).await.iter().map(|e| e.to).collect();
            assert_eq!(events, [JobStatus::Waiting, JobStatus::Building, JobStatus::Waiting]);
            let after = now(two.store(), job).await;
            assert_eq!((after.lost_by.len(), after.infra_retries), (1, 1));
            let attempts = two.store().attempts(job.id).await.unwrap();
            assert_eq!(attempts[0].outcome, Some(Outcome::Lost));
        }
        let hints = one.store().outbox(100).await.unwrap();
        assert_eq!(hints.len(), 40, "one when it came, one when it was given back");
    }

    pub(super) async fn a_server_that_was_stopped_takes_no_lease(database: Database) {
        let [one, two] = database.servers().await;
        let job = submit_and_take(one.store(), "box", planned("hello", "1")).await;
        for _ in 0..7 {
            assert_eq!((one.sweep().await, two.sweep().await), (0, 0));
        }
        // The second one stands still, as by SIGSTOP, while the client reports to the first.
        for _ in 0..4 * 8 {
            assert_eq!(one.beat(&job).await, Verdict::Continue);
            assert_eq!(one.sweep().await, 0);
        }
        two.clock.advance(ttl() * 4);
        assert_eq!(two.sweep().await, 0, "all leases are as new for who was away");
        for _ in 0..7 {
            assert_eq!(two.sweep().await, 0, "and have a full time to live again");
        }
        assert_eq!(one.beat(&job).await, Verdict::Continue);
        assert_eq!(two.sweep().await, 0);
        // Both stand still, so that the client had nobody to report to.
        for server in [&one, &two] {
            server.clock.advance(ttl() * 4);
            assert_eq!(server.sweep().await, 0, "its silence is theirs");
        }
        assert_eq!(one.beat(&job).await, Verdict::Continue);
        assert_eq!(one.events(&job).await.len(), 2, "nothing has happened to the job");
    }

    pub(super) async fn a_blocked_job_is_freed_once(database: Database) {
        let [one, two] = database.servers().await;
        let mut jobs = Vec::new();
        for n in 0..10 {
            let planned = planned_in(&format!("p{n}"), "1", target(&format!("arch{n}")));
            jobs.push(bring(one.store(), planned, JobStatus::Blocked).await);
        }
        let (first, second) = tokio::join!(one.farm.sweep(), two.farm.sweep());
        assert!(first.unwrap() + second.unwrap() >= 10);
        for job in &jobs {
            let freed = one.events(job).await;
            let freed = freed.iter().filter(|e| e.from == Some(JobStatus::Blocked)).count();
            assert_eq!((freed, now(two.store(), job).await.status), (1, JobStatus::Waiting));
        }
    }

    pub(super) async fn hints_that_a_dead_server_left_are_sent_by_another(database: Database) {
        let [one, two] = database.servers().await;
        let arches: Vec<_> = (0..5).map(|n| target(&format!("arch{n}"))).collect();
        let routes: Vec<_> = arches.iter().map(pybit_core::model::Target::route).collect();
        let mut heard = two.hints.consume(&"box".parse().unwrap(), &routes, 100).await.unwrap();
        let planned = |(n, target): (usize, &pybit_core::model::Target)| {
            planned_in(&format!("p{n}"), "1", target.clone())
        };
        let jobs = submit(one.store(), arches.iter().enumerate().map(planned).collect()).await;
        drop(one);
        assert_eq!(two.farm.dispatch().await.unwrap(), jobs.len());
        for _ in &jobs {
            let hint = pybit_core::conformance::support::within("a hint", heard.next()).await;
            hint.unwrap().unwrap();
        }
        assert!(two.store().outbox(9).await.unwrap().is_empty());
    }

    pub(super) async fn one_unreadable_job_keeps_no_other_waiting(database: Database) {
        let server = database.server().await;
        let bad = submit_and_take(server.store(), "box", planned("bad", "1")).await;
        let good =
            submit_and_take(server.store(), "box", planned_in("good", "1", target("arm64"))).await;
        spoil(&database, &bad).await;
        for _ in 0..8 {
            server.clock.advance(tick());
            server.farm.reap(tick()).await.unwrap();
        }
        server.clock.advance(tick());
        let told = server.farm.reap(tick()).await;
        assert_eq!(told.unwrap_err().kind(), pybit_core::ErrorKind::Corrupt, "it is told of");
        assert_eq!(now(server.store(), &good).await.status, JobStatus::Waiting);
        submit_one(server.store(), planned("other", "1")).await;
    }

    /// One server begins and ends one attempt after the other while the other server reads.
    pub(super) async fn a_job_is_shown_with_its_past_as_of_one_moment(database: Database) {
        const ROUNDS: i64 = 40;
        let [one, two] = database.servers().await;
        let new = submit_one(one.store(), planned("hello", "1")).await;
        let id = new.id;
        let writer = tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let claimed = take(one.store(), "box", target("amd64")).await;
                apply(one.store(), ending(&claimed, JobStatus::Waiting, Outcome::Lost)).await;
            }
        });
        let mut row_version = 0;
        while row_version < new.row_version + 2 * ROUNDS {
            let JobHistory { job, attempts, events } = two.farm.history(id).await.unwrap();
            let building = attempts.last().is_some_and(|a| a.outcome.is_none());
            assert_eq!(building, job.status == JobStatus::Building, "{job:?} {attempts:?}");
            assert_eq!(events.last().unwrap().to, job.status, "{events:?}");
            assert_eq!(attempts.len(), job.attempt as usize);
            row_version = job.row_version;
        }
        writer.await.unwrap();
    }
}

/// Writes into a job what no program can read.
async fn spoil(database: &Database, job: &Job) {
    let sql = format!("UPDATE job SET lost_by = '[' WHERE id = {}", job.id);
    if database.settings.scheme() == "sqlite" {
        let file = database.settings.url.trim_start_matches("sqlite://");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    } else {
        support::run(&database.settings.url, &sql).await.unwrap();
    }
}
