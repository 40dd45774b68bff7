//! SQLite: one file, one writer, several readers beside it.

mod moment;
mod options;
mod wary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::Storage;
use pybit_core::{Error, ErrorKind, Result};
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection, Pool, Sqlite, Transaction, query_with, raw_sql};

pub use options::SqliteOptions;

use super::dialect::{Dialect, Engine, migrator};
use super::error::failed;
use super::spare::Spare;
use super::{SqlStore, Statement, statements};

/// Opens `sqlite:` URLs: `sqlite:///var/lib/pybit/farm.db`, `sqlite:farm.db`.
///
/// The file is made with mode 0600 and missing directories with 0700. After an unclean stop the database is checked first.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteFactory;

#[async_trait]
impl Factory<dyn Storage> for SqliteFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &["sqlite"]
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(SqlStore::<Sqlite>::open(settings).await?))
    }
}

impl SqlStore<Sqlite> {
    /// Opens, and where there is none makes, the database that the settings name.
    ///
    /// - `Invalid`: the URL or an option is not acceptable. `Unsupported`: SQLite is too old, or the database too new.
    /// - `Corrupt`: the last process did not end cleanly and the check finds the file damaged.
    pub async fn open(settings: &Settings) -> Result<Self> {
        make(settings).await?;
        let store = Self::connect(settings, true).await?;
        store.bring_up_to_date(&settings.shown()).await?;
        Ok(store)
    }

    /// Opens the file that the settings name, whatever its schema; `wary`, it is checked after an unclean stop.
    pub(super) async fn connect(settings: &Settings, wary: bool) -> Result<Self> {
        let path = options::path(settings)?;
        let options: SqliteOptions = settings.options()?;
        let unclean = wary && wary::has_left_overs(&path).await;
        let connect = connect_options(&path, &options);
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(connect.clone())
            .await
            .map_err(|e| failed::<Sqlite>("open", e))?;
        wary::check_version(&write).await?;
        if unclean {
            wary::quick_check(&write, &settings.shown()).await?;
        }
        // Readers open the file writable and are forbidden to write: whichever connection closes last can then empty
        // the write-ahead log.
        let read = SqlitePoolOptions::new()
            .max_connections(options.read_connections)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(connect.pragma("query_only", "ON"));
        Ok(Self::new(write, Some(read), None))
    }
}

/// The file, which must be there.
pub(super) fn must_be_there(settings: &Settings) -> Result<PathBuf> {
    let none = || Error::not_found(format!("there is no database {}", settings.shown()));
    let path = Some(options::path(settings)?).filter(|path| path.is_file());
    path.ok_or_else(|| none().with_op("open").with_code("no_such_database"))
}

/// Makes the file where it is missing.
pub(super) async fn make(settings: &Settings) -> Result<()> {
    options::prepare(&options::path(settings)?).await
}

fn connect_options(path: &Path, options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(options.busy_timeout_ms))
        .pragma("mmap_size", "0")
        .statement_cache_capacity(statements::ALL.len() + 8)
}

impl Dialect for Sqlite {
    const ENGINE: Engine = Engine::Sqlite;
    const AT_ONCE: usize = 1;

    fn migrations() -> Migrator {
        migrator([
            (1, "farm", include_str!("../../../migrations/sqlite/0001_farm.sql")),
            (2, "farm id", include_str!("../../../migrations/sqlite/0002_farm_id.sql")),
            (3, "whole files", include_str!("../../../migrations/sqlite/0003_whole_files.sql")),
            (
                4,
                "counts by statement",
                include_str!("../../../migrations/sqlite/0004_counts_by_statement.sql"),
            ),
            (
                5,
                "replaced clients",
                include_str!("../../../migrations/sqlite/0005_replaced_clients.sql"),
            ),
            (6, "hook rules", include_str!("../../../migrations/sqlite/0006_hook_rules.sql")),
            (7, "accounts", include_str!("../../../migrations/sqlite/0007_accounts.sql")),
            (
                8,
                "repository_health",
                include_str!("../../../migrations/sqlite/0008_repository_health.sql"),
            ),
            (9, "names", include_str!("../../../migrations/sqlite/0009_names.sql")),
            (10, "names", include_str!("../../../migrations/sqlite/0010_names.sql")),
            (
                11,
                "package orders",
                include_str!("../../../migrations/sqlite/0011_package_orders.sql"),
            ),
            (12, "overlay", include_str!("../../../migrations/sqlite/0012_overlay.sql")),
            (13, "order keys", include_str!("../../../migrations/sqlite/0013_order_keys.sql")),
            (14, "key orders", include_str!("../../../migrations/sqlite/0014_key_orders.sql")),
        ])
    }

    fn migrate(pool: &Pool<Self>) -> BoxFuture<'_, Result<(), MigrateError>> {
        async move { Self::migrations().run(pool).await }.boxed()
    }

    /// By the primary result code, the low byte (sqlite.org/rescode.html): busy comes as 5, 261, 517 …
    fn kind(error: &dyn DatabaseError) -> ErrorKind {
        if error.is_unique_violation() {
            return ErrorKind::Conflict;
        }
        let code = error.code().and_then(|c| c.parse::<i32>().ok()).unwrap_or(0);
        match code & 0xff {
            5 | 6 => ErrorKind::Busy,
            13 => ErrorKind::Full,
            8 | 10 | 14 => ErrorKind::Unavailable,
            11 | 26 => ErrorKind::Corrupt,
            _ => ErrorKind::Internal,
        }
    }

    /// Whoever waits for the file waits as long as `busy_timeout_ms` says.
    fn is_passing(_: &sqlx::Error) -> bool {
        false
    }

    fn begin(from: &Spare<Self>) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self>>> {
        begin_with(from, "BEGIN IMMEDIATE").boxed()
    }

    fn begin_read(from: &Spare<Self>) -> BoxFuture<'_, sqlx::Result<Transaction<'static, Self>>> {
        begin_with(from, "BEGIN DEFERRED").boxed()
    }

    fn say(connection: &mut SqliteConnection, text: String) -> BoxFuture<'_, sqlx::Result<()>> {
        async move { raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop) }.boxed()
    }

    fn take_turns(_: &mut SqliteConnection, _: Vec<i64>) -> BoxFuture<'_, sqlx::Result<()>> {
        std::future::ready(Ok(())).boxed()
    }

    fn fetch<'c>(
        connection: &'c mut SqliteConnection,
        statement: &'static Statement,
        arguments: SqliteArguments,
    ) -> BoxFuture<'c, sqlx::Result<Vec<SqliteRow>>> {
        let query = query_with(statement.text(Self::ENGINE), arguments);
        query.fetch_all(connection).boxed()
    }

    fn run<'c>(
        connection: &'c mut SqliteConnection,
        statement: &'static Statement,
        arguments: SqliteArguments,
    ) -> BoxFuture<'c, sqlx::Result<u64>> {
        let query = query_with(statement.text(Self::ENGINE), arguments);
        async move { Ok(query.execute(connection).await?.rows_affected()) }.boxed()
    }
}

/// SQLite itself rolls a transaction back when its disk is full or fails, and the driver goes on counting it as open:
/// every later transaction on that connection would be refused. Such a connection is closed, another takes its place.
async fn begin_with(
    from: &Spare<Sqlite>,
    begin: &'static str,
) -> sqlx::Result<Transaction<'static, Sqlite>> {
    let (pool, _waiting) = (from.pool(), from.wait());
    for _ in 0..MOST_BROKEN {
        match pool.begin_with(begin).await {
            Err(sqlx::Error::InvalidSavePointStatement) => {
                let connection = pool.acquire().await?;
                if connection.is_in_transaction() {
                    connection.close().await?;
                }
            }
            other => return other,
        }
    }
    Err(sqlx::Error::BeginFailed)
}

/// Connections that may be found broken one after the other: while a disk is full, every other writer breaks one.
const MOST_BROKEN: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::call::Call;
    use pybit_core::model::{BlockRule, BlockSubject, Catalogue, Repository, RuleId};
    use pybit_core::storage::{AccountStore, CatalogStore};
    use sqlx::raw_sql;

    async fn fresh(folder: &tempfile::TempDir, options: &[(&str, i64)]) -> SqlStore<Sqlite> {
        let url = format!("sqlite://{}/farm.db", folder.path().display());
        let mut settings = Settings::url(url);
        for (key, value) in options {
            settings.options.insert((*key).to_owned(), (*value).into());
        }
        SqlStore::<Sqlite>::open(&settings).await.unwrap()
    }

    fn rule(reason: &str) -> BlockRule {
        BlockRule {
            id: RuleId(0),
            subject: BlockSubject::Package,
            pattern: "x".to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn repository(url: &str) -> Repository {
        Repository {
            name: "main".parse().unwrap(),
            dist: "Debian".parse().unwrap(),
            suite: "sid".parse().unwrap(),
            format: "deb".parse().unwrap(),
            url: Some(url.to_owned()),
            public_key: None,
            health: None,
            overlay: None,
        }
    }

    fn assert_full<T>(result: Result<T>) {
        let error = result.err().unwrap();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Full, "database_full"), "{error:?}");
    }

    #[tokio::test]
    async fn a_full_database_refuses_changes_nothing_and_serves_on_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh(&folder, &[]).await;
        let long = "y".repeat(50_000);
        raw_sql("PRAGMA max_page_count = 1").execute(store.write.pool()).await.unwrap();
        for _ in 0..3 {
            assert_full(store.add_rule(&rule(&long)).await);
        }
        // Here SQLite ends the whole transaction by itself, for the rule above it took back the statement alone. The
        // connection that takes the place of this one has no page limit: that is the room.
        assert_full(store.put_repository(&repository(&long)).await);
        assert_eq!(store.catalogue().await.unwrap(), Catalogue::default());
        store.add_rule(&rule(&long)).await.unwrap();
        store.put_repository(&repository(&long)).await.unwrap();
        assert_eq!(store.catalogue().await.unwrap().rules.len(), 1);
        store.close().await;
    }

    #[tokio::test]
    async fn writers_that_break_their_connections_break_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh(&folder, &[]).await;
        let break_one = || async {
            let mut begun = store.begin().await?;
            // As SQLite does by itself where the disk is full.
            raw_sql("ROLLBACK").execute(&mut *begun).await.unwrap();
            Ok::<(), Error>(())
        };
        let all = futures_util::future::join_all((0..20).map(|_| break_one())).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        store.add_rule(&rule("a")).await.unwrap();
    }

    #[tokio::test]
    async fn another_writer_makes_it_busy_not_broken() {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh(&folder, &[("busy_timeout_ms", 1)]).await;
        let other = fresh(&folder, &[]).await;
        let held = other.begin().await.unwrap();
        let error = store.add_rule(&rule("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Busy, true), "{error:?}");
        store.health().await.unwrap();
        drop(held);
        other.add_rule(&rule("b")).await.unwrap();
        store.add_rule(&rule("a")).await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_is_given_up_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh(&folder, &[]).await;
        let mut begun = store.begin().await.unwrap();
        Call::<Sqlite>::new(&statements::RULE_ADD)
            .text("package")
            .text("x")
            .text("y")
            .run(&mut begun)
            .await
            .unwrap();
        drop(begun);
        assert!(store.catalogue().await.unwrap().rules.is_empty());
        assert_eq!(store.add_rule(&rule("z")).await.unwrap().id, RuleId(1));
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh(&folder, &[]).await;
        let mut reader = store.reader().await.unwrap();
        let drain = Call::<Sqlite>::new(&statements::CLIENT_DRAIN).text("box").flag(true);
        let error = drain.run(&mut reader).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }

    #[tokio::test]
    async fn a_statement_with_a_parameter_too_few_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let store = fresh(&folder, &[]).await;
        let mut begun = store.begin().await.unwrap();
        let call = Call::<Sqlite>::new(&statements::RULE_ADD).text("package").text("x");
        let error = call.run(&mut begun).await.unwrap_err();
        assert!(error.message().contains("takes 3 parameters, not 2"), "{error}");
    }

    #[tokio::test]
    async fn the_factory_serves_its_scheme() {
        let folder = tempfile::tempdir().unwrap();
        let registry = pybit_core::settings::Registry::<dyn Storage>::new("storage");
        let registry = registry.with(SqliteFactory);
        let url = format!("sqlite:{}/a/b/farm.db", folder.path().display());
        let storage = registry.open(&Settings::url(url)).await.unwrap();
        storage.health().await.unwrap();
        assert!(storage.tokens().await.unwrap().is_empty());
    }
}
