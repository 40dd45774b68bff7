//! The names of a base distribution, from archives that real tools make and sign, and what a farm does with them.
#![expect(clippy::disallowed_methods, reason = "tests sign archives with gpg")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "archive/made.rs"]
mod made;
#[path = "archive/python.rs"]
mod python;
#[path = "archive/rpm.rs"]
mod rpm;

use std::sync::Arc;
use std::time::{Duration, Instant};

use made::{Archive, dsc, exec, run, sha256, suite};
use pybit_backends::archive::{ArchiveNames, NamesConfig, Unavailable};
use pybit_backends::deb::DebFormat;
use pybit_core::base::{BaseIndex, BaseStatus, BaseSuite};
use pybit_core::clock::{ManualClock, Timestamp};
use pybit_core::format::PackageFormat;
use pybit_core::memory::{MemoryStorage, MemoryTransport};
use pybit_core::model::{
    FailureClass, FileName, FileSpec, Grant, Job, JobStatus, NewPart, NewSubmission, Principal,
    Repository, Role, Source, StreamOwner, Target, WeightedTarget,
};
use pybit_core::protocol::{FinishRequest, LogDigest, SourceReport};
use pybit_core::storage::{CatalogStore, ClientReport, Storage};
use pybit_core::{ErrorKind, Farm, Policy, Result};

async fn owner(names: &dyn BaseIndex, binary: &str) -> Result<Option<String>> {
    let s = suite();
    let found = names.owners(&s.dist, &s.suite, &s.format, &[binary.to_owned()]).await?;
    Ok(found.get(binary).map(|owner| format!("{} {}", owner.distribution, owner.source)))
}

async fn versions(names: &dyn BaseIndex, source: &str) -> Vec<String> {
    let s = suite();
    let found = names.source(&s.dist, &s.suite, &s.format, &source.parse().unwrap()).await;
    found.unwrap().into_iter().map(|source| source.version).collect()
}

fn status(names: &dyn BaseIndex) -> BaseStatus {
    let [status] = names.status().try_into().unwrap();
    status
}

#[tokio::test]
async fn a_signed_index_is_read_and_one_with_a_foreign_signature_leaves_it_as_it_was() {
    let archive = Archive::new();
    let names = archive.names(&NamesConfig::default());
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 1, "{:?}", names.status());
    assert_eq!(owner(&names, "make").await.unwrap().unwrap(), "Debian bookworm make-dfsg");
    assert!(owner(&names, "make-guile").await.unwrap().is_some(), "built on another architecture");
    for free in ["make-virtual", "make-dfsg", "sec-make"] {
        assert_eq!(owner(&names, free).await.unwrap(), None, "{free}");
    }
    assert_eq!(versions(&names, "make-dfsg").await, ["1.0"]);
    assert!(versions(&names, "make").await.is_empty());
    let first = status(&names);
    assert_eq!((first.names, first.sources, &first.error), (2, 1, &None));
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0, "it is fresh");

    archive.make_key("stranger@example.org");
    archive.write("2.0", "stranger@example.org");
    archive.clock.advance(Duration::from_hours(13));
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0);
    assert_eq!(versions(&names, "make-dfsg").await, ["1.0"]);
    let second = status(&names);
    assert_eq!(second.fetched_at, first.fetched_at);
    assert!(second.error.as_ref().is_some_and(|e| e.contains("Debian bookworm")), "{second:?}");
    // A server that is started anew has the old index, too.
    let anew = archive.names(&NamesConfig::default());
    assert_eq!(anew.refresh(&[suite()]).await.unwrap(), 0);
    assert_eq!(versions(&anew, "make-dfsg").await, ["1.0"]);

    archive.write("2.0", "archive@example.org");
    archive.clock.advance(Duration::from_mins(11));
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 1, "{:?}", names.status());
    assert_eq!(
        (versions(&names, "make-dfsg").await, status(&names).error),
        (vec!["2.0".to_owned()], None)
    );
}

#[tokio::test]
async fn an_archive_without_a_signature_is_refused_even_where_its_line_trusts_it() {
    let archive = Archive::new();
    let at = archive.dir.path().join("archive");
    std::fs::remove_file(at.join("InRelease")).unwrap();
    let names = archive.names(&NamesConfig::default());
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0);
    assert!(status(&names).error.is_some() && status(&names).fetched_at.is_none());
    let line = format!("deb [trusted=yes] file://{} ./", at.display());
    let config = NamesConfig {
        mirror: [("bookworm".parse().unwrap(), vec![line])].into(),
        ..NamesConfig::default()
    };
    let names = ArchiveNames::new(config, archive.dir.path().join("other"), None, exec());
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 0);
    assert!(status(&names).error.unwrap().contains("signed-by"));
}

/// A farm on this index, without a server.
async fn farm(names: ArchiveNames, policy: Policy) -> (Farm, Arc<MemoryStorage>) {
    farm_on(names, policy, suite(), Arc::new(DebFormat::new())).await
}

/// A farm with one suite and its repository.
async fn farm_of(
    names: ArchiveNames,
    policy: Policy,
    suite: BaseSuite,
    format: Arc<dyn PackageFormat>,
) -> (Farm, Arc<MemoryStorage>) {
    let repository = Repository {
        name: "main".parse().unwrap(),
        dist: suite.dist.clone(),
        suite: suite.suite.clone(),
        format: suite.format.clone(),
        url: None,
        public_key: None,
        health: None,
        overlay: None,
    };
    let (farm, storage) = farm_on(names, policy, suite, format).await;
    storage.put_repository(&repository).await.unwrap();
    (farm, storage)
}

async fn farm_on(
    names: ArchiveNames,
    policy: Policy,
    suite: BaseSuite,
    format: Arc<dyn PackageFormat>,
) -> (Farm, Arc<MemoryStorage>) {
    let storage = Arc::new(MemoryStorage::default());
    let BaseSuite { dist, suite, format: name, arch } = suite;
    let target = Target { dist, suite, arch, format: name, env: "sbuild".parse().unwrap() };
    storage.put_target(&WeightedTarget { target, weight: 1 }).await.unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_790_000_000_000_000)));
    let state: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let farm =
        Farm::with_policy(state, Arc::new(MemoryTransport::default()), [format], clock, policy);
    (farm.with_base(Arc::new(names)), storage)
}

/// Files whose bytes the object store would hold.
async fn store(farm: &Farm, owner: StreamOwner, files: &[FileSpec]) {
    let storage = farm.storage();
    for stream in storage.declare_files(owner, files, farm.clock().now()).await.unwrap() {
        let (length, sha256) = (stream.size.unwrap(), stream.sha256.clone().unwrap());
        let part = NewPart { offset: 0, length, object: format!("part-{}", stream.id) };
        storage.append_part(stream.id, &part).await.unwrap();
        storage.seal(stream.id, length, &format!("blob-{}", stream.id), &sha256).await.unwrap();
    }
}

/// The files of a source package.
fn files_of(package: &str, text: &str) -> (FileName, Vec<FileSpec>) {
    let version = text.lines().find_map(|l| l.strip_prefix("Version: ")).unwrap();
    let file = |name: String, size: u64, sha256: String| FileSpec {
        name: name.parse().unwrap(),
        size,
        sha256,
    };
    let main = file(format!("{package}_{version}.dsc"), text.len() as u64, sha256(text));
    let tarball = file(format!("{package}_{version}.tar.xz"), 1, sha256("x"));
    (main.name.clone(), vec![main, tarball])
}

/// Submits `source`, and a build client makes this source package of it.
async fn fetched(farm: &Farm, who: Grant, source: &str, package: &str, text: &str) -> Job {
    let who = Principal { name: "ann".to_owned(), grant: who };
    let mut request = NewSubmission::new(source.parse().unwrap(), "bookworm".parse().unwrap());
    request.force = true;
    let job = farm.submit(&who, request, None, None).await.unwrap().jobs.remove(0);
    let client = ClientReport {
        name: "one".parse().unwrap(),
        boot: "one-boot".to_owned(),
        version: "1".to_owned(),
        slots: 1,
        offers: vec![job.target.clone()],
        weights: Vec::new(),
    };
    let claim = format!("claim-of-{}", job.id);
    assert_eq!(farm.claim(&client, &claim).await.unwrap().unwrap().job.id, job.id);
    let (main, files) = files_of(package, text);
    store(farm, StreamOwner::Attempt { job: job.id, attempt: 1 }, &files).await;
    let request = FinishRequest {
        attempt: 1,
        log: LogDigest { length: 0, sha256: "0".repeat(64) },
        files,
        source: Some(SourceReport { main, resolved: "1".to_owned() }),
        produced: Vec::new(),
    };
    farm.finish(&client.name, job.id, &request, Some(text.as_bytes())).await.unwrap()
}

#[tokio::test]
async fn a_source_that_a_job_fetched_is_judged_by_its_bytes_and_not_by_its_address() {
    let archive = Archive::new();
    let (farm, _) = farm(archive.names(&NamesConfig::default()), Policy::default()).await;
    farm.refresh_base().await.unwrap();
    let (own, other) = (dsc("make-dfsg", "1.0"), dsc("make-dfsg", "99"));
    let git = "git+https://example.org/innocent.git";
    for (who, source, text, status) in [
        (granted(&[]), "apt:make-dfsg", &own, JobStatus::Done),
        (granted(&[]), "apt:make-dfsg", &other, JobStatus::Failed),
        (granted(&[]), git, &other, JobStatus::Failed),
        (granted(&["make*"]), git, &other, JobStatus::Done),
        (Grant::of(Role::Admin), git, &other, JobStatus::Done),
    ] {
        let job = fetched(&farm, who, source, "make-dfsg", text).await;
        assert_eq!(job.status, status, "{source}: {:?}", job.failure);
        if let Some(failure) = job.failure {
            assert_eq!(failure.class, FailureClass::Policy);
            assert!(
                failure.message.starts_with("make-dfsg is a source package of Debian bookworm")
            );
        }
    }
    let innocent = fetched(&farm, granted(&[]), git, "innocent", &dsc("innocent", "1")).await;
    assert_eq!(innocent.status, JobStatus::Done);
}

/// Submits a description of a format of which pybit writes the description, with its one file.
async fn described(
    farm: &Farm,
    who: Grant,
    (main, text): (&str, &str),
    file: (&str, &[u8]),
) -> Result<Vec<Job>> {
    let spec = |name: &str, bytes: &[u8]| FileSpec {
        name: name.parse().unwrap(),
        size: bytes.len() as u64,
        sha256: made::sha256_of(bytes),
    };
    let files = vec![spec(main, text.as_bytes()), spec(file.0, file.1)];
    upload(farm, who, main.parse().unwrap(), files, text).await
}

async fn submit(farm: &Farm, who: Grant, package: &str, text: &str) -> Result<Vec<Job>> {
    let (main, files) = files_of(package, text);
    upload(farm, who, main, files, text).await
}

/// Submits these files, of which `main` with this text is the description.
async fn upload(
    farm: &Farm,
    who: Grant,
    main: FileName,
    files: Vec<FileSpec>,
    text: &str,
) -> Result<Vec<Job>> {
    let who = Principal { name: "ann".to_owned(), grant: who };
    let (storage, now) = (farm.storage(), farm.clock().now());
    let upload = storage.new_upload("ann", &files, now).await.unwrap().id;
    store(farm, StreamOwner::Upload(upload), &files).await;
    let source = Source::Upload { upload, main };
    let suite = storage.catalogue().await.unwrap().targets[0].target.suite.clone();
    let mut request = NewSubmission::new(source, suite);
    request.force = true;
    farm.submit(&who, request, None, Some(text.as_bytes())).await.map(|r| r.jobs)
}

fn granted(names: &[&str]) -> Grant {
    let names = names.iter().map(|n| n.parse().unwrap()).collect();
    Grant { names, ..Grant::of(Role::Submit) }
}

#[tokio::test]
async fn a_name_of_the_distribution_is_for_its_own_bytes_and_for_principals_with_a_grant() {
    let archive = Archive::new();
    let (farm, _) = farm(archive.names(&NamesConfig::default()), Policy::default()).await;
    assert_eq!(farm.refresh_base().await.unwrap(), 1, "{:?}", farm.base().unwrap().status());
    let (own, other) = (dsc("make-dfsg", "1.0"), dsc("make-dfsg", "99"));
    let anybody = || granted(&[]);
    assert_eq!(submit(&farm, anybody(), "make-dfsg", &own).await.unwrap().len(), 1);
    assert_eq!(submit(&farm, anybody(), "sec-base", &dsc("sec-base", "1")).await.unwrap().len(), 1);
    let spoof = own.replace("t@example.org", "u@example.org");
    for (who, text) in [
        (anybody(), &other),
        (anybody(), &spoof),
        (granted(&["make-dfsg@trixie", "make@bookworm"]), &other),
    ] {
        let error = submit(&farm, who, "make-dfsg", text).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "name_of_distribution"));
        let told = "make-dfsg is a source package of Debian bookworm (there in version 1.0)";
        assert!(error.message().starts_with(told), "{error}");
    }
    for who in [granted(&["make*@bookworm"]), granted(&["make-dfsg"]), Grant::of(Role::Admin)] {
        assert_eq!(submit(&farm, who, "make-dfsg", &other).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn one_line_of_the_policy_lets_everybody_submit_under_every_name() {
    let archive = Archive::new();
    let policy = Policy { check_sources: false, ..Policy::default() };
    let (farm, _) = farm(archive.names(&NamesConfig::default()), policy).await;
    farm.refresh_base().await.unwrap();
    let other = dsc("make-dfsg", "99");
    assert_eq!(submit(&farm, granted(&[]), "make-dfsg", &other).await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_an_index_names_are_free_or_submissions_wait_as_configured() {
    let archive = Archive::new();
    std::fs::remove_file(archive.dir.path().join("archive/InRelease")).unwrap();
    let other = dsc("make-dfsg", "99");
    for unavailable in [Unavailable::Allow, Unavailable::Refuse] {
        let config = NamesConfig { unavailable, ..NamesConfig::default() };
        let (farm, _) = farm(archive.names(&config), Policy::default()).await;
        assert_eq!(farm.refresh_base().await.unwrap(), 0);
        let taken = submit(&farm, granted(&[]), "make-dfsg", &other).await;
        let asked = owner(&**farm.base().unwrap(), "make").await;
        if unavailable == Unavailable::Allow {
            assert_eq!((taken.unwrap().len(), asked.unwrap()), (1, None));
            continue;
        }
        for error in [taken.unwrap_err(), asked.unwrap_err()] {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "names_unavailable"));
            assert!(error.is_retryable() && error.message().contains("Debian bookworm"), "{error}");
        }
        assert!(submit(&farm, Grant::of(Role::Admin), "make-dfsg", &other).await.is_ok());
    }
}

/// Kibibytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
#[ignore = "needs the Debian archive"]
async fn the_index_of_debian_knows_that_make_comes_from_make_dfsg() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("names");
    let names = ArchiveNames::new(NamesConfig::default(), &at, None, exec());
    let (before, start) = (resident(), Instant::now());
    assert_eq!(names.refresh(&[suite()]).await.unwrap(), 1, "{:?}", names.status());
    let (fetched, status) = (start.elapsed(), status(&names));
    let grown = resident() - before;
    assert_eq!(owner(&names, "make").await.unwrap().unwrap(), "Debian bookworm make-dfsg");
    assert!(!versions(&names, "hello").await.is_empty());
    let again = ArchiveNames::new(NamesConfig::default(), &at, None, exec());
    let start = Instant::now();
    assert_eq!(again.refresh(&[suite()]).await.unwrap(), 0);
    let read = start.elapsed();
    let disk = String::from_utf8(run(&["du", "-sm", "."], &at)).unwrap();
    println!(
        "{} names of {} sources: fetched and read in {fetched:?}, read again in {read:?}; memory {} MB, disk {} MB",
        status.names,
        status.sources,
        grown / 1024,
        disk.trim()
    );
}
