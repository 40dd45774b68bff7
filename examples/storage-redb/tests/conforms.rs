//! The storage keeps every promise of pybit's traits, and what it keeps is there after a restart.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::ErrorKind;
use pybit_core::conformance::{Fixture, ROWS, STORAGE, run, support};
use pybit_core::memory::Rows;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_storage_redb::{RedbFactory, RedbRows};
use tempfile::TempDir;

/// Gives storages, each in a file of its own.
struct Files(TempDir, std::sync::atomic::AtomicU32);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"), 0.into())
    }

    fn next(&self) -> std::path::PathBuf {
        let number = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.path().join(format!("{number}.redb"))
    }
}

#[async_trait]
impl Fixture<dyn Storage> for Files {
    async fn fresh(&self) -> Arc<dyn Storage> {
        open(&self.next()).await.expect("a storage")
    }
}

#[async_trait]
impl Fixture<dyn Rows> for Files {
    async fn fresh(&self) -> Arc<dyn Rows> {
        Arc::new(RedbRows::open(&self.next(), 1 << 20).await.expect("rows"))
    }
}

async fn open(file: &Path) -> pybit_core::Result<Arc<dyn Storage>> {
    let storages = Registry::new("storage").with(RedbFactory);
    storages.open(&Settings::url(format!("redb://{}", file.display()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_passes_the_storage_suite_whole() {
    assert_eq!(run(STORAGE, &Files::new()).await, STORAGE.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_passes_the_suite_of_rows_whole() {
    assert_eq!(run(ROWS, &Files::new()).await, ROWS.len());
}

#[tokio::test]
async fn a_farm_goes_on_where_it_was_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("farm.redb");
    let before = open(&file).await.unwrap();
    let job = support::submit_one(&before, support::planned("hello", "1.0")).await;
    let held = support::take(&before, "tahr", support::target("amd64")).await;
    before.beat(&support::report("tahr", &[]), &[(job.id, 1)], support::at(9)).await.unwrap();
    let client = before.clients().await.unwrap();
    drop(before);

    let after = open(&file).await.unwrap();
    let now = support::now(&after, &job).await;
    assert_eq!((now.status, now.lease_epoch), (held.status, held.lease_epoch + 1));
    assert_eq!(after.clients().await.unwrap(), client);
    assert_eq!(after.events(job.id).await.unwrap().len(), 2);
    let next = support::submit_one(&after, support::planned("other", "1.0")).await;
    assert!(next.id > job.id && next.submission > job.submission, "numbers go on");
}

#[tokio::test]
async fn a_second_opening_is_refused_while_the_first_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("farm.redb");
    let first = open(&file).await.unwrap();
    assert_eq!(open(&file).await.unwrap_err().kind(), ErrorKind::Busy);
    drop(first);
    open(&file).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_or_cut_short_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("farm.redb");
    std::fs::write(&file, "not a database\n".repeat(1000)).unwrap();
    let cut = dir.path().join("cut.redb");
    let storage = open(&cut).await.unwrap();
    support::submit_one(&storage, support::planned("hello", "1.0")).await;
    drop(storage);
    let whole = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    for file in [file, cut] {
        let before = std::fs::read(&file).unwrap();
        let error = open(&file).await.unwrap_err();
        assert!(error.message().contains("cannot open the farm's state in"), "{error}");
        assert!(std::fs::read(&file).unwrap() == before, "{} was written to", file.display());
    }
}

#[tokio::test]
async fn an_unknown_key_and_a_url_without_a_path_are_refused() {
    let storages = Registry::<dyn Storage>::new("storage").with(RedbFactory);
    for url in ["redb:", "redb://host/path", "redb:///x?mode=ro"] {
        let error = storages.open(&Settings::url(url)).await.unwrap_err();
        assert_eq!(error.code(), "invalid_configuration", "{url}");
    }
    let mut settings = Settings::url("redb:///nowhere/farm.redb");
    settings.options.insert("cash_mb".to_owned(), 1.into());
    assert!(storages.open(&settings).await.unwrap_err().message().contains("cash_mb"));
}
