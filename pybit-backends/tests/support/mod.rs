//! Fresh databases on the PostgreSQL server that `make services` starts.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pybit_backends::sql::{PostgresFactory, SqlStore};
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};
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

/// A database that is dropped with this value, whoever still uses it.
#[derive(Debug)]
pub(crate) struct Database(pub(crate) String);

impl Database {
    /// An empty one.
    pub(crate) async fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("pybit_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&server(), &format!("CREATE DATABASE {name}")).await.expect("a database is made");
        Self(name)
    }

    /// One with the farm's schema, copied: that is quicker than to migrate each.
    pub(crate) async fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static TEMPLATE: OnceCell<Database> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| async {
                let made = Self::empty().await;
                made.store().await.close().await;
                made
            })
            .await;
        let name = format!("{}_{}", template.0, NEXT.fetch_add(1, Ordering::Relaxed));
        let made = run(&server(), &format!("CREATE DATABASE {name} TEMPLATE {}", template.0)).await;
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

    /// Runs statements on it.
    pub(crate) async fn run(&self, sql: &str) -> sqlx::Result<u64> {
        run(&self.url(), sql).await
    }
}
