//! The use cases over SQLite and Debian packages, without a server: what a program that embeds a farm relies on.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]

use std::sync::Arc;
use std::time::Duration;

use pybit_backends::deb::DebFormat;
use pybit_backends::sql::SqliteFactory;
use pybit_core::clock::{Clock, ManualClock, Timestamp};
use pybit_core::format::PackageFormat;
use pybit_core::memory::MemoryTransport;
use pybit_core::model::{
    Failure, FailureClass, FileSpec, Grant, Job, JobFilter, JobStatus, NewPart, NewSubmission,
    Page, Principal, Produced, Repository, Role, Source, StreamOwner, Target, UploadId,
    WeightedTarget,
};
use pybit_core::protocol::{
    Assignment, FailRequest, FinishRequest, Held, Input, LogDigest, SourceReport, Verdict,
};
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::ClientReport;
use pybit_core::transport::Transport;
use pybit_core::{Farm, Policy};

#[path = "farm/names.rs"]
mod names;
#[path = "farm/withdrawn.rs"]
mod withdrawn;

struct World {
    _dir: tempfile::TempDir,
    farm: Farm,
    clock: Arc<ManualClock>,
}

fn target(arch: &str) -> Target {
    Target {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        arch: arch.parse().unwrap(),
        format: "deb".parse().unwrap(),
        env: "sbuild".parse().unwrap(),
    }
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("farm.db").display());
    let storage = SqliteFactory.open(&Settings::url(url)).await.unwrap();
    for (arch, weight) in [("arm64", 5), ("amd64", 10)] {
        storage.put_target(&WeightedTarget { target: target(arch), weight }).await.unwrap();
    }
    let repository = Repository {
        name: "bookworm".parse().unwrap(),
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        format: "deb".parse().unwrap(),
        url: None,
        public_key: None,
        health: None,
        overlay: None,
    };
    storage.put_repository(&repository).await.unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_790_000_000_000_000)));
    let transport: Arc<dyn Transport> = Arc::new(MemoryTransport::default());
    let format: Arc<dyn PackageFormat> = Arc::new(DebFormat::new());
    let ticking: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let farm = Farm::with_policy(storage, transport, [format], ticking, Policy::default());
    World { _dir: dir, farm, clock }
}

fn ann() -> Principal {
    Principal { name: "ann".to_owned(), grant: Grant::of(Role::Submit) }
}

fn report(name: &str) -> ClientReport {
    ClientReport {
        name: name.parse().unwrap(),
        boot: format!("{name}-boot"),
        version: "1".to_owned(),
        slots: 1,
        offers: vec![target("amd64"), target("arm64"), target("source")],
        weights: Vec::new(),
    }
}

fn digest(n: u8) -> String {
    format!("{n:064x}")
}

/// A source description of one native tarball of 100 bytes.
fn dsc(package: &str, version: &str, arches: &str) -> String {
    let tarball = format!("{package}_{version}.tar.xz");
    format!(
        "Format: 3.0 (native)\nSource: {package}\nBinary: {package}\nArchitecture: {arches}\nVersion: {version}\n\
         Maintainer: T <t@example.org>\nChecksums-Sha256:\n {} 100 {tarball}\nFiles:\n {:032x} 100 {tarball}\n",
        digest(1),
        1
    )
}

impl World {
    /// Files whose bytes the object store would hold.
    async fn store(&self, owner: StreamOwner, files: &[FileSpec]) {
        let storage = self.farm.storage();
        for stream in storage.declare_files(owner, files, self.clock.now()).await.unwrap() {
            let length = stream.size.unwrap();
            let part = NewPart { offset: 0, length, object: format!("part-{}", stream.id) };
            storage.append_part(stream.id, &part).await.unwrap();
            let sha256 = stream.sha256.clone().unwrap();
            assert!(
                storage.seal(stream.id, length, &format!("blob-{sha256}"), &sha256).await.unwrap()
            );
        }
    }

    fn source_files(package: &str, version: &str, text: &str) -> Vec<FileSpec> {
        let tarball = format!("{package}_{version}.tar.xz");
        vec![
            FileSpec {
                name: format!("{package}_{version}.dsc").parse().unwrap(),
                size: text.len() as u64,
                sha256: digest(2),
            },
            FileSpec { name: tarball.parse().unwrap(), size: 100, sha256: digest(1) },
        ]
    }

    async fn upload(&self, package: &str, version: &str, arches: &str) -> (UploadId, String) {
        let text = dsc(package, version, arches);
        let files = Self::source_files(package, version, &text);
        let upload = self.farm.storage().new_upload("ann", &files, self.clock.now()).await.unwrap();
        self.store(StreamOwner::Upload(upload.id), &files).await;
        (upload.id, text)
    }

    async fn submit_dsc(
        &self,
        package: &str,
        version: &str,
        arches: &str,
    ) -> pybit_core::Result<Vec<Job>> {
        let (upload, text) = self.upload(package, version, arches).await;
        let main = format!("{package}_{version}.dsc").parse().unwrap();
        let request = submission(Source::Upload { upload, main });
        self.farm.submit(&ann(), request, None, Some(text.as_bytes())).await.map(|r| r.jobs)
    }

    async fn claim(&self, client: &str, claim_id: &str) -> Assignment {
        self.farm.claim(&report(client), claim_id).await.unwrap().expect("a job")
    }

    async fn finish(
        &self,
        client: &str,
        job: &Job,
        produced: &[(&str, &str)],
    ) -> pybit_core::Result<Job> {
        let owner = StreamOwner::Attempt { job: job.id, attempt: job.attempt };
        let files =
            vec![FileSpec { name: "x_1_amd64.deb".parse().unwrap(), size: 10, sha256: digest(7) }];
        self.store(owner, &files).await;
        let produced = produced.iter().map(|(name, version)| Produced {
            name: name.parse().unwrap(),
            version: version.parse().unwrap(),
            arch: "amd64".to_owned(),
        });
        let request = FinishRequest {
            attempt: job.attempt,
            log: empty_log(),
            files,
            source: None,
            produced: produced.collect(),
        };
        self.farm.finish(&client.parse().unwrap(), job.id, &request, None).await
    }
}

fn empty_log() -> LogDigest {
    LogDigest { length: 0, sha256: digest(0) }
}

fn submission(source: Source) -> NewSubmission {
    NewSubmission {
        source,
        suite: "bookworm".parse().unwrap(),
        dist: None,
        format: None,
        arches: vec![],
        env: None,
        priority: 0,
        force: false,
    }
}

#[tokio::test]
async fn an_uploaded_source_package_becomes_a_job_for_each_architecture_and_one_master() {
    let world = world().await;
    let jobs = world.submit_dsc("hello", "2.10-3", "any all").await.unwrap();
    let shown: Vec<_> = jobs.iter().map(|j| (j.target.arch.as_str(), j.master)).collect();
    assert_eq!(shown, [("amd64", true), ("arm64", false)]);
    let only_all = world.submit_dsc("docs", "1", "all").await.unwrap();
    assert_eq!(only_all.len(), 1);
    assert!(only_all[0].master && only_all[0].target.arch.as_str() == "amd64");
    let none = world.submit_dsc("windows-only", "1", "hurd-any").await.unwrap_err();
    assert_eq!(none.code(), "nothing_to_build");
}

#[tokio::test]
async fn a_job_travels_from_claim_to_done() {
    let world = world().await;
    world.submit_dsc("hello", "2.10-3", "amd64").await.unwrap();
    let assignment = world.claim("one", "claim-0001").await;
    let Input::Package { main, files } = &assignment.input else { panic!("{assignment:?}") };
    assert_eq!((main.as_str(), files.len()), ("hello_2.10-3.dsc", 2));
    let built = world.finish("one", &assignment.job, &[("hello", "2.10-3")]).await.unwrap();
    assert_eq!(built.status, JobStatus::Uploaded, "the suite has a repository");
    let repository = world.farm.storage().catalogue().await.unwrap().repositories.remove(0);
    let sets = world.farm.uploaded_sets(&repository, None).await.unwrap();
    assert_eq!((sets.len(), sets[0].files.len(), sets[0].source_files.len()), (1, 1, 2));
    let done = world.farm.published("watcher", built.id, 1, "bookworm 000001").await.unwrap();
    assert_eq!(done.status, JobStatus::Done);
    let again = world.finish_as("one", &assignment.job).await;
    assert!(
        again.is_err() || again.unwrap().status == JobStatus::Done,
        "a repeated result changes nothing"
    );
    assert!(world.farm.uploaded_sets(&repository, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_source_job_leads_to_binary_jobs_that_build_from_its_package() {
    let world = world().await;
    let request = submission("apt:hello".parse().unwrap());
    let recorded = world.farm.submit(&ann(), request, None, None).await.unwrap();
    assert_eq!(recorded.jobs.len(), 1);
    let source = world.claim("one", "claim-0001").await.job;
    assert!(source.target.arch.is_source());
    let text = dsc("hello", "2.10-3", "any");
    let files = World::source_files("hello", "2.10-3", &text);
    world.store(StreamOwner::Attempt { job: source.id, attempt: 1 }, &files).await;
    let report =
        SourceReport { main: "hello_2.10-3.dsc".parse().unwrap(), resolved: "2.10-3".to_owned() };
    let request = FinishRequest {
        attempt: 1,
        log: empty_log(),
        files,
        source: Some(report),
        produced: vec![],
    };
    let one = "one".parse().unwrap();
    let done = world.farm.finish(&one, source.id, &request, Some(text.as_bytes())).await.unwrap();
    assert_eq!(done.status, JobStatus::Done);
    assert_eq!(done.version.unwrap().as_str(), "2.10-3");
    let filter = JobFilter { submission: Some(recorded.submission.id), ..JobFilter::default() };
    let jobs = world.farm.storage().jobs(&filter, &Page::first(50)).await.unwrap();
    assert_eq!(jobs.len(), 3, "the source job and one for each architecture");
    let binary = world.claim("one", "claim-0002").await;
    assert_eq!(binary.job.source_job, Some(source.id));
    let Input::Package { main, .. } = binary.input else { panic!("a binary job builds a package") };
    assert_eq!(main.as_str(), "hello_2.10-3.dsc");
}

#[tokio::test]
async fn the_same_and_older_versions_are_refused_and_a_newer_one_supersedes() {
    let world = world().await;
    let first = world.submit_dsc("hello", "2.0", "amd64").await.unwrap().remove(0);
    let same = world.submit_dsc("hello", "2.0", "amd64").await.unwrap_err();
    assert_eq!(same.code(), "same_version");
    assert!(same.message().contains(&first.id.to_string()), "{same}");
    assert_eq!(
        world.submit_dsc("hello", "1.9", "amd64").await.unwrap_err().code(),
        "older_version"
    );
    let newer = world.submit_dsc("hello", "10.0", "amd64").await.unwrap().remove(0);
    let old = world.farm.job(first.id).await.unwrap();
    assert_eq!((old.status, old.superseded_by), (JobStatus::Cancelled, Some(newer.id)));
}

#[tokio::test]
async fn a_silent_clients_job_goes_to_another_and_its_late_reports_are_refused() {
    let world = world().await;
    world.submit_dsc("hello", "1", "amd64").await.unwrap();
    let first = world.claim("one", "claim-0001").await.job;
    let tick = Duration::from_secs(2);
    for _ in 0..12 {
        world.farm.reap(tick).await.unwrap();
        world.clock.advance(tick);
    }
    assert_eq!(world.farm.job(first.id).await.unwrap().status, JobStatus::Waiting);
    let second = world.claim("two", "claim-0002").await.job;
    assert_eq!((second.id, second.attempt), (first.id, 2));
    let late = world.finish_as("one", &first).await;
    assert_eq!(late.unwrap_err().code(), "stale_attempt");
    let held = [Held { job: first.id, attempt: 1 }];
    let (verdicts, _) = world.farm.heartbeat(&report("one"), &held).await.unwrap();
    assert_eq!(verdicts, [Verdict::Stale]);
    world.finish("two", &second, &[]).await.unwrap();
}

impl World {
    /// A late report: nothing is stored for it.
    async fn finish_as(&self, client: &str, job: &Job) -> pybit_core::Result<Job> {
        let request = FinishRequest {
            attempt: job.attempt,
            log: empty_log(),
            files: vec![],
            source: None,
            produced: vec![],
        };
        self.farm.finish(&client.parse().unwrap(), job.id, &request, None).await
    }
}

#[tokio::test]
async fn a_client_that_reports_again_keeps_its_job_if_nobody_else_took_it() {
    let world = world().await;
    world.submit_dsc("hello", "1", "amd64").await.unwrap();
    let job = world.claim("one", "claim-0001").await.job;
    let tick = Duration::from_secs(2);
    for _ in 0..12 {
        world.farm.reap(tick).await.unwrap();
        world.clock.advance(tick);
    }
    let held = [Held { job: job.id, attempt: 1 }];
    let (verdicts, _) = world.farm.heartbeat(&report("one"), &held).await.unwrap();
    assert_eq!(verdicts, [Verdict::Continue]);
    assert_eq!(world.finish("one", &job, &[]).await.unwrap().status, JobStatus::Uploaded);
}

#[tokio::test]
async fn a_job_that_lacks_a_dependency_is_woken_by_its_publication() {
    let world = world().await;
    world.submit_dsc("user", "1", "amd64").await.unwrap();
    let job = world.claim("one", "claim-0001").await.job;
    let failure = Failure { class: FailureClass::DepWait, message: "missing".to_owned() };
    let unmet = vec!["libthing-dev (>= 2.0)".to_owned()];
    let request = FailRequest { attempt: 1, log: empty_log(), failure, unmet };
    let blocked = world.farm.fail(&"one".parse().unwrap(), job.id, &request).await.unwrap();
    assert_eq!(blocked.status, JobStatus::Blocked);
    for (package, version, status) in
        [("thing", "1.0", JobStatus::Blocked), ("thing", "2.0", JobStatus::Waiting)]
    {
        world.submit_dsc(package, version, "amd64").await.unwrap();
        let built = world.claim("one", &format!("claim-{version}").replace('.', "-00")).await.job;
        assert_eq!(built.package.as_str(), package);
        world.finish("one", &built, &[("libthing-dev", version)]).await.unwrap();
        world.farm.published("watcher", built.id, 1, "here").await.unwrap();
        assert_eq!(world.farm.job(job.id).await.unwrap().status, status, "after {version}");
    }
}

#[tokio::test]
async fn a_waiting_job_says_why() {
    let world = world().await;
    let job = world.submit_dsc("hello", "1", "amd64").await.unwrap().remove(0);
    assert!(world.farm.why(job.id).await.unwrap().summary.contains("No build client"));
    let mut elsewhere = report("one");
    elsewhere.offers = vec![target("arm64")];
    world.farm.heartbeat(&elsewhere, &[]).await.unwrap();
    let why = world.farm.why(job.id).await.unwrap();
    assert!(
        !why.clients[0].eligible && why.clients[0].reason.contains("does not offer"),
        "{why:?}"
    );
    world.farm.heartbeat(&report("two"), &[]).await.unwrap();
    let why = world.farm.why(job.id).await.unwrap();
    assert_eq!(why.ahead, Some(0));
    assert!(why.clients.iter().any(|c| c.eligible), "{why:?}");
    assert!(why.summary.contains("It is next: 1 build client can take it"), "{why:?}");
    for (package, ahead) in
        [("second", "1 job for the same target goes first"), ("third", "2 jobs")]
    {
        let job = world.submit_dsc(package, "1", "amd64").await.unwrap().remove(0);
        let why = world.farm.why(job.id).await.unwrap();
        assert!(why.summary.starts_with(ahead), "{why:?}");
    }
}
