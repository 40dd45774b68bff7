//! The storage in a farm: pybit's own server runs on it, configured by URL, and a submission outlives the server.

use std::path::Path;

use pybit::core::model::{JobStatus, NewSubmission, WeightedTarget};
use pybit::core::settings::Settings;
use pybit::roles::{Backends, DataDir, open_farm, storages};
use pybit::{Config, ErrorKind, Farm, Result};
use pybit_core::conformance::support::{name, target};
use pybit_core::model::{Grant, Principal, Role};
use pybit_storage_redb::RedbFactory;

async fn open(dir: &Path, backends: &Backends) -> Result<Farm> {
    let url = format!("redb://{}", dir.join("farm.redb").display());
    let config = Config { storage: Some(Settings::url(url)), ..Config::default() };
    open_farm(&config, &DataDir::open(dir)?, backends).await
}

#[tokio::test]
async fn a_farm_on_it_is_configured_by_url_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = open(dir.path(), &Backends::default()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unsupported, "pybit alone knows no redb:");

    let backends = Backends { storages: storages().with(RedbFactory), ..Backends::default() };
    let farm = open(dir.path(), &backends).await.unwrap();
    let served = WeightedTarget { target: target("amd64"), weight: 1 };
    farm.storage().put_target(&served).await.unwrap();
    let alice = Principal { name: "alice".to_owned(), grant: Grant::of(Role::Submit) };
    let wish = NewSubmission::new("apt:hello".parse().unwrap(), name("bookworm"));
    let key = Some("once");
    let first = farm.submit(&alice, wish.clone(), key, None).await.unwrap();
    drop(farm);

    let farm = open(dir.path(), &backends).await.unwrap();
    let again = farm.submit(&alice, wish, key, None).await.unwrap();
    assert!(again.repeated && again.submission == first.submission);
    let job = farm.storage().job(first.jobs[0].id).await.unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Waiting);
}
