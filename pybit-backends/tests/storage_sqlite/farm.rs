//! A farm's database in a folder of its own, and the words that tests use to fill it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pybit_backends::sql::SqlStore;
use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{
    BlockRule, BlockSubject, ClientName, Job, JobId, JobKind, JobStatus, NewSubmission, Outcome,
    RuleId, Source, Target, WeightedTarget,
};
use pybit_core::settings::Settings;
use pybit_core::storage::{
    Advance, AttemptEnd, Beat, CatalogStore, Change, Claim, ClientReport, ClientStore, JobStore,
    PlannedJob, SubmissionRecord,
};
use sqlx::Sqlite;

/// When everything in these tests happens, unless it happens later.
pub(super) fn at() -> Timestamp {
    Timestamp::from_micros(1_795_000_000_000_000)
}

pub(super) fn later(seconds: u64) -> Timestamp {
    at().plus(Duration::from_secs(seconds))
}

pub(super) fn client(name: &str) -> ClientName {
    name.parse().unwrap()
}

pub(super) fn target(arch: &str) -> Target {
    Target {
        dist: "Debian".parse().unwrap(),
        suite: "sid".parse().unwrap(),
        arch: arch.parse().unwrap(),
        format: "deb".parse().unwrap(),
        env: "host".parse().unwrap(),
    }
}

/// Versions in tests are single digits, so their text is their key.
pub(super) fn binary(package: &str, version: &str, arch: &str) -> PlannedJob {
    PlannedJob {
        kind: JobKind::Binary,
        package: package.parse().unwrap(),
        version: Some((version.parse().unwrap(), version.as_bytes().to_vec())),
        target: target(arch),
        master: true,
        weight: 0,
        priority: 0,
        force: false,
        source_job: None,
        retries_of: None,
    }
}

pub(super) fn source(label: &str) -> PlannedJob {
    PlannedJob { kind: JobKind::Source, version: None, ..binary(label, "0", "source") }
}

pub(super) fn record(key: Option<&str>, jobs: Vec<PlannedJob>) -> SubmissionRecord {
    SubmissionRecord {
        request: NewSubmission {
            source: Source::Apt { package: jobs[0].package.clone(), version: None },
            suite: "sid".parse().unwrap(),
            dist: None,
            format: None,
            arches: Vec::new(),
            env: None,
            priority: 0,
            force: false,
        },
        principal: "me".to_owned(),
        idempotency_key: key.map(str::to_owned),
        jobs,
    }
}

pub(super) fn claim(name: &str, id: &str, arches: &[&str]) -> Claim {
    Claim {
        client: client(name),
        boot: "boot".to_owned(),
        claim_id: id.to_owned(),
        offers: arches.iter().map(|arch| target(arch)).collect(),
    }
}

/// A bare change of a job's status.
pub(super) fn change(job: &Job, to: JobStatus) -> Change {
    let after = Job { status: to, row_version: job.row_version + 1, ..job.clone() };
    Change {
        expected: job.row_version,
        expected_lease: None,
        after,
        actor: "farm".to_owned(),
        cause: "a test".to_owned(),
        attempt_end: None,
        reopen_attempt: false,
        needs_files: false,
        follow: Vec::new(),
        version_key: None,
        health: None,
    }
}

/// How an attempt ends, in a test that does not look at why.
pub(super) fn end(outcome: Outcome) -> AttemptEnd {
    AttemptEnd { outcome, failure: None, log_sha256: Some("ab".repeat(32)) }
}

#[derive(Debug)]
pub(super) struct Farm {
    pub(super) store: SqlStore<Sqlite>,
    claims: AtomicU32,
    _folder: tempfile::TempDir,
}

impl Farm {
    pub(super) async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/farm.db", folder.path().display());
        let store = SqlStore::open(&Settings::url(url)).await.unwrap();
        Self { store, claims: AtomicU32::new(0), _folder: folder }
    }

    pub(super) async fn job(&self, id: JobId) -> Job {
        self.store.job(id).await.unwrap().unwrap()
    }

    pub(super) async fn record_one(&self, job: PlannedJob) -> Job {
        self.store.record_submission(&record(None, vec![job]), at()).await.unwrap().jobs.remove(0)
    }

    pub(super) async fn submit(&self, package: &str, version: &str) -> Job {
        self.record_one(binary(package, version, "amd64")).await
    }

    pub(super) async fn claim(&self, name: &str, arches: &[&str]) -> Option<Job> {
        let number = self.claims.fetch_add(1, Ordering::Relaxed);
        self.store.claim(&claim(name, &number.to_string(), arches), at()).await.unwrap()
    }

    pub(super) async fn try_to(
        &self,
        job: &Job,
        to: JobStatus,
        edit: impl FnOnce(&mut Change),
    ) -> Result<Advance> {
        let mut change = change(job, to);
        edit(&mut change);
        self.store.advance(&change, at()).await
    }

    pub(super) async fn to(&self, job: &Job, to: JobStatus, edit: impl FnOnce(&mut Change)) {
        let done = self.try_to(job, to, edit).await.unwrap();
        assert!(matches!(done, Advance::Done(..)), "{done:?}");
    }

    pub(super) async fn beat(&self, name: &str, jobs: &[(JobId, u32)]) -> Beat {
        let report = ClientReport {
            name: client(name),
            boot: "boot".to_owned(),
            version: "0".to_owned(),
            slots: 2,
            offers: vec![target("amd64")],
        };
        self.store.beat(&report, jobs, at()).await.unwrap()
    }

    pub(super) async fn catalogue_round_trip(&self) {
        for weight in [1, 2] {
            let put = WeightedTarget { target: target("amd64"), weight };
            self.store.put_target(&put).await.unwrap();
        }
        let mut rule = BlockRule {
            id: RuleId(0),
            subject: BlockSubject::Package,
            pattern: "^bad".to_owned(),
            reason: "no".to_owned(),
        };
        let added = self.store.add_rule(&rule).await.unwrap();
        "(".clone_into(&mut rule.pattern);
        assert_eq!(self.store.add_rule(&rule).await.unwrap_err().code(), "invalid_pattern");
        let catalogue = self.store.catalogue().await.unwrap();
        assert_eq!((catalogue.targets.len(), catalogue.targets[0].weight), (1, 2));
        assert_eq!(catalogue.rules, [added]);
    }
}
