//! A farm on SQLite within this process, for what is about a state and not about a process.

use std::path::Path;
use std::sync::Arc;

use pybit::backends::deb::DebFormat;
use pybit::backends::sql::SqliteFactory;
use pybit::core::clock::SystemClock;
use pybit::core::format::PackageFormat;
use pybit::core::memory::MemoryTransport;
use pybit::core::model::{
    Grant, Job, NewSubmission, Principal, Role, Source, Target, WeightedTarget,
};
use pybit::core::protocol::LogDigest;
use pybit::core::settings::{Factory, Settings};
use pybit::core::storage::ClientReport;
use pybit::{Farm, Policy};

/// Opens the farm whose database lies in `dir`; it serves Debian's bookworm on amd64.
pub(crate) async fn open(dir: &Path) -> Farm {
    let url = format!("sqlite://{}", dir.join("farm.db").display());
    let storage = SqliteFactory.open(&Settings::url(url)).await.unwrap();
    storage.put_target(&WeightedTarget { target: target("amd64"), weight: 1 }).await.unwrap();
    let formats: [Arc<dyn PackageFormat>; 1] = [Arc::new(DebFormat::new())];
    let transport = Arc::new(MemoryTransport::default());
    Farm::with_policy(storage, transport, formats, Arc::new(SystemClock), Policy::default())
}

fn target(arch: &str) -> Target {
    Target {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        arch: arch.parse().unwrap(),
        format: "deb".parse().unwrap(),
        env: "host".parse().unwrap(),
    }
}

/// Somebody who may submit.
pub(crate) fn submitter() -> Principal {
    Principal { name: "alice".to_owned(), grant: Grant::of(Role::Submit) }
}

/// A request to build this source for bookworm.
pub(crate) fn request(source: &str) -> NewSubmission {
    NewSubmission {
        source: source.parse::<Source>().unwrap(),
        suite: "bookworm".parse().unwrap(),
        dist: None,
        format: None,
        arches: Vec::new(),
        env: None,
        priority: 0,
        force: false,
    }
}

/// What a build client says of itself.
pub(crate) fn report(name: &str) -> ClientReport {
    ClientReport {
        name: name.parse().unwrap(),
        boot: "boot-1".to_owned(),
        version: "0".to_owned(),
        slots: 1,
        offers: vec![target("source"), target("amd64")],
        weights: Vec::new(),
    }
}

/// A source job that the build client `one` holds.
pub(crate) async fn held_job(farm: &Farm, package: &str) -> Job {
    farm.submit(&submitter(), request(&format!("apt:{package}")), None, None).await.unwrap();
    let claim = format!("claim-{package}");
    farm.claim(&report("one"), &claim).await.unwrap().expect("the job is free").job
}

/// The digest of a log of no bytes.
pub(crate) fn empty_log() -> LogDigest {
    use sha2::Digest;
    LogDigest { length: 0, sha256: hex::encode(sha2::Sha256::digest(b"")) }
}
