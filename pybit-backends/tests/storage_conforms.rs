//! Both engines keep what the storage traits promise, and the conformance suite executes every statement of the
//! catalogue: a statement that no promise of the traits reaches is named here, with the test that does.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/files.rs"]
mod files;
mod support;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use files::open;
use pybit_backends::sql::statements::{ALL, OF_POSTGRES};
use pybit_backends::sql::{Engine, Statement};
use pybit_core::conformance::{Fixture, STORAGE, run};
use pybit_core::storage::Storage;
use support::Database;
use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What a database is asked that may be a newer one, which is no promise of a trait: `tests/schema`.
const SCHEMA: &str = "schema_version";

/// Writes that go together are asked statement by statement of an engine in this process, and at once over a wire
/// (`docs/decisions/0009-writes-go-together.md`): PostgreSQL has statements of its own for these.
const STEP_BY_STEP: [&str; 17] = [
    "submissions_add",
    "jobs_add",
    "jobs_contested",
    "keys_known",
    "keys_add",
    "events_add",
    "outbox_add_all",
    "package_heads",
    "jobs_lock",
    "jobs_advance",
    "streams_incomplete",
    "attempts_end",
    "clients_ailing",
    "jobs_hold",
    "jobs_claim",
    "attempts_add",
    "logs_add",
];

/// The texts that engines were asked to run, as the driver tells them: one of a few words as its summary.
#[derive(Clone, Default)]
struct Executed(Arc<Mutex<BTreeSet<String>>>);

impl<S: Subscriber> Layer<S> for Executed {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Executed {
    fn record_str(&mut self, field: &Field, text: &str) {
        if ["summary", "db.statement"].contains(&field.name()) {
            self.0.lock().unwrap().insert(text.trim().to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Executed {
    /// The statements that were not executed since the last time.
    fn missing(&self, of: &[&[&'static Statement]], engine: Engine) -> Vec<&'static str> {
        let seen = std::mem::take(&mut *self.0.lock().unwrap());
        let all = of.iter().flat_map(|statements| statements.iter());
        all.filter(|s| !seen.contains(s.text(engine).trim())).map(|s| s.name()).collect()
    }
}

/// A new one for each case; keeps the folders until the last case is over.
#[derive(Default)]
struct Files(Mutex<Vec<tempfile::TempDir>>);

#[async_trait]
impl Fixture<dyn Storage> for Files {
    async fn fresh(&self) -> Arc<dyn Storage> {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(folder.path()).await;
        self.0.lock().unwrap().push(folder);
        storage
    }
}

/// Makes the database of the next case while one runs, and drops the one before.
#[derive(Default)]
struct Databases {
    next: Mutex<Option<JoinHandle<Database>>>,
    used: Mutex<Option<Database>>,
}

#[async_trait]
impl Fixture<dyn Storage> for Databases {
    async fn fresh(&self) -> Arc<dyn Storage> {
        let ready = self.next.lock().unwrap().take();
        let ready = ready.unwrap_or_else(|| tokio::spawn(Database::fresh()));
        let database = ready.await.unwrap();
        *self.next.lock().unwrap() = Some(tokio::spawn(Database::fresh()));
        let storage = database.open().await;
        let before = self.used.lock().unwrap().replace(database);
        before.map(|before| tokio::spawn(before.drop()));
        storage
    }
}

/// Serialises the tests of this program: a statement that is executed anywhere in the process is counted.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The record of this process, installed once.
fn recorded() -> Executed {
    static RECORD: LazyLock<Executed> = LazyLock::new(|| {
        let executed = Executed::default();
        let queries = filter_fn(|event| event.target() == "sqlx::query");
        tracing_subscriber::registry().with(executed.clone().with_filter(queries)).init();
        executed
    });
    RECORD.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_conforms_and_executes_every_statement() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let executed = recorded();
    assert_eq!(run(STORAGE, &Files::default()).await, STORAGE.len());
    assert_eq!(executed.missing(&[ALL], Engine::Sqlite), [SCHEMA]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn postgres_conforms_and_executes_every_statement() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let executed = recorded();
    assert_eq!(run(STORAGE, &Databases::default()).await, STORAGE.len());
    let elsewhere = [&[SCHEMA], &STEP_BY_STEP[..]].concat();
    assert_eq!(executed.missing(&[ALL, OF_POSTGRES], Engine::Postgres), elsewhere);
}
