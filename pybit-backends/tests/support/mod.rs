//! Fresh databases on the PostgreSQL server that `make services` starts.

#![allow(clippy::allow_attributes, reason = "what is dead differs by test file")]
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod proxy;

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pybit_backends::sql::{PostgresFactory, SqlStore};
use pybit_core::conformance::support::DEADLINE;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row};
use tokio::sync::OnceCell;

/// The server's URL. Without one a test of PostgreSQL fails: it never passes for want of a server.
pub(crate) fn server() -> String {
    std::env::var("PYBIT_TEST_POSTGRES_URL").expect(
        "PYBIT_TEST_POSTGRES_URL names no PostgreSQL server: `make test` starts one, `make services` prints the URL",
    )
}

/// The URL of another database on the same server.
pub(crate) fn url_of(database: &str) -> String {
    let mut url = url::Url::parse(&server()).expect("a URL");
    url.set_path(database);
    url.into()
}

/// Runs statements on a database.
pub(crate) async fn run(url: &str, sql: &str) -> sqlx::Result<u64> {
    let mut connection = PgConnection::connect(url).await?;
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
    connection.close().await?;
    done.map(|d| d.rows_affected())
}

/// The number that a query returns.
pub(crate) async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await;
    row.expect("a row").get(0)
}

/// A part of a name that no other process uses. A process id is not enough: the kernel gives it again.
fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// The name of the template that the processes of this test program share on a server; the first of them makes it.
async fn template() -> String {
    let program = std::env::current_exe().expect("a program");
    let built = program.metadata().and_then(|m| m.modified()).expect("a file");
    let mut hasher = DefaultHasher::new();
    (program, built).hash(&mut hasher);
    let key = hasher.finish();
    let name = format!("pybit_template_{key:016x}");
    let mut connection = PgConnection::connect(&server()).await.expect("a connection");
    let lock = format!("SELECT pg_advisory_lock({})", key.cast_signed());
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await.expect("the lock");
    let known = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    if number(&mut connection, &known).await == 0 {
        let draft = Database::empty().await;
        draft.store().await.close().await;
        let renamed = run(&server(), &format!("ALTER DATABASE {} RENAME TO {name}", draft.0)).await;
        renamed.expect("the template gets its name");
    }
    connection.close().await.expect("the lock is released");
    name
}

/// A database of its own; it goes with the server, whose directory is a temporary one.
#[derive(Debug)]
pub(crate) struct Database(pub(crate) String);

impl Database {
    /// An empty one.
    pub(crate) async fn empty() -> Self {
        let name = format!("pybit_test_{}", random());
        run(&server(), &format!("CREATE DATABASE {name}")).await.expect("a database is made");
        Self(name)
    }

    /// One with the farm's schema, copied from a template: copying is quicker than migrating each.
    pub(crate) async fn fresh() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(template).await;
        let name = format!("pybit_test_{}", random());
        let made = run(&server(), &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        made.expect("a database is copied");
        Self(name)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        url_of(&self.0)
    }

    /// How to open it.
    pub(crate) fn settings(&self) -> Settings {
        Settings::url(self.url())
    }

    /// Opened as itself.
    pub(crate) async fn store(&self) -> SqlStore<Postgres> {
        SqlStore::<Postgres>::open(&self.settings()).await.expect("it opens")
    }

    /// Opened as a program opens it.
    pub(crate) async fn open(&self) -> Arc<dyn Storage> {
        let registry = Registry::<dyn Storage>::new("storage").with(PostgresFactory);
        registry.open(&self.settings()).await.expect("it opens")
    }

    /// How many transactions were ended for waiting in a circle, once nobody uses it any more: only then the server has
    /// counted all.
    pub(crate) async fn deadlocks(&self) -> i64 {
        let mut connection = PgConnection::connect(&server()).await.expect("a connection");
        let users = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", self.0);
        let counted =
            format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{}'", self.0);
        let deadline = Instant::now() + DEADLINE;
        while number(&mut connection, &users).await > 0 {
            assert!(Instant::now() < deadline, "its users went");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        number(&mut connection, &counted).await
    }

    /// Drops it, whoever still uses it.
    pub(crate) async fn drop(self) {
        let dropped = run(&server(), &format!("DROP DATABASE {} WITH (FORCE)", self.0)).await;
        dropped.expect("it is dropped");
    }

    /// Runs statements on it.
    pub(crate) async fn run(&self, sql: &str) -> sqlx::Result<u64> {
        run(&self.url(), sql).await
    }
}
