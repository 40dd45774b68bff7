//! A storage of pybit as somebody outside would write it: the farm's state in one [redb](https://docs.rs/redb) file.
//!
//! `MemoryStorage` answers every question from memory and hands each transaction's changed rows to [`Rows`]; so all that a
//! database has to do is to keep a batch of rows whole, and to give all rows back when it is opened. To copy this for
//! another database, write its [`Rows`] and its [`Factory`], and run the two suites of `tests/conforms.rs` on them.
//!
//! ```toml
//! [storage]
//! url = "redb:///var/lib/pybit/farm.redb"
//! cache_mb = 16
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::memory::{MemoryStorage, Rows, Write};
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::Storage;
use pybit_core::{Error, ErrorKind, Result};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Deserialize;
use tokio::sync::Mutex;

const ROWS: TableDefinition<&str, &str> = TableDefinition::new("rows");

/// Opens `redb:PATH` and `redb:///ABSOLUTE/PATH`; the file is made where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedbFactory;

/// The keys beside `url`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// Memory for pages of the file, MiB. It is read whole once, so a little is enough.
    cache_mb: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_mb: 16 }
    }
}

#[async_trait]
impl Factory<dyn Storage> for RedbFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &["redb"]
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Storage>> {
        let Options { cache_mb } = settings.options()?;
        let file = file_of(settings)?;
        let rows = RedbRows::open(&file, cache_mb.saturating_mul(1 << 20)).await?;
        Ok(Arc::new(MemoryStorage::kept_in(Arc::new(rows)).await?))
    }
}

/// The file that the URL names.
fn file_of(settings: &Settings) -> Result<PathBuf> {
    let path = settings.url.strip_prefix("redb:").unwrap_or_default();
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty()
        || path.contains(['?', '#'])
        || settings.url.starts_with("redb://") && !path.starts_with('/')
    {
        let message = format!("{} must be redb:///ABSOLUTE/PATH or redb:PATH", settings.shown());
        return Err(Error::invalid(message).with_code("invalid_configuration"));
    }
    Ok(PathBuf::from(path))
}

/// The farm's rows in a redb file. redb locks it: a second process is refused.
#[derive(Debug)]
pub struct RedbRows {
    /// Held by one call at a time and until its work has ended, even if its caller has gone.
    database: Arc<Mutex<Database>>,
    file: PathBuf,
}

impl RedbRows {
    /// Opens the file with that many bytes of page cache. Fails, `Busy`, where another process has it open.
    pub async fn open(file: &Path, cache: usize) -> Result<Self> {
        let path = file.to_owned();
        let opened = tokio::task::spawn_blocking(move || open(&path, cache)).await;
        let database = ended(opened).map_err(|e| failed("open", file, e))?;
        Ok(Self { database: Arc::new(Mutex::new(database)), file: file.to_owned() })
    }

    /// Does work on the database where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T> {
        let database = Arc::clone(&self.database).lock_owned().await;
        let worked = tokio::task::spawn_blocking(move || work(&database)).await;
        ended(worked).map_err(|e| failed(op, &self.file, e))
    }
}

#[async_trait]
impl Rows for RedbRows {
    async fn load(&self) -> Result<Vec<(String, String)>> {
        self.blocking("load", load).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<()> {
        self.blocking("commit", move |database| commit(database, &batch)).await
    }

    async fn health(&self) -> Result<()> {
        self.blocking("health", |database| Ok(database.begin_read().map(drop)?)).await
    }
}

/// Nobody but the owner reads the file, and its name is durable with it.
fn open(file: &Path, cache: usize) -> Result<Database, redb::Error> {
    File::options().create(true).append(true).mode(0o600).open(file)?;
    let parent = fs::canonicalize(file)?;
    File::open(parent.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    let mut builder = Database::builder();
    // A file that something else has damaged is refused instead of trusted.
    builder.set_cache_size(cache).set_check_integrity_on_open(true);
    Ok(builder.create(file)?)
}

fn load(database: &Database) -> Result<Vec<(String, String)>, redb::Error> {
    let table = match database.begin_read()?.open_table(ROWS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(other) => return Err(other.into()),
    };
    let all = table.iter()?.map(|row| {
        let (key, value) = row?;
        Ok((key.value().to_owned(), value.value().to_owned()))
    });
    all.collect()
}

/// One transaction of redb: durable when `commit` has returned, undone when it is dropped before.
fn commit(database: &Database, batch: &[Write]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut table = transaction.open_table(ROWS)?;
    for write in batch {
        match write {
            Write::Put { key, value } => table.insert(key.as_str(), value.as_str())?,
            Write::Remove { key } => table.remove(key.as_str())?,
        };
    }
    drop(table);
    Ok(transaction.commit()?)
}

/// What became of work on a blocking thread.
fn ended<T>(
    ended: Result<Result<T, redb::Error>, tokio::task::JoinError>,
) -> Result<T, redb::Error> {
    ended.unwrap_or_else(|e| Err(redb::Error::Io(io::Error::other(e))))
}

/// redb's failure as pybit's: what failed, on what, and whether the same call may succeed later.
fn failed(op: &'static str, file: &Path, error: redb::Error) -> Error {
    let kind = match &error {
        redb::Error::DatabaseAlreadyOpen => ErrorKind::Busy,
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => ErrorKind::Corrupt,
        redb::Error::Io(e) if e.kind() == io::ErrorKind::StorageFull => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {op} the farm's state in {}", file.display()))
        .with_op(op)
        .with_source(error)
}
