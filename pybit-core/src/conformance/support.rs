//! Short ways to say what a test needs: targets, jobs, claims, changes, files. For this crate's cases and for the tests of
//! others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    ClientName, FileSpec, Job, JobKind, JobStatus, NewSubmission, Outcome, PackageName, Part,
    Route, Source, StreamId, StreamOwner, StreamRole, Target,
};
use crate::storage::{
    Advance, AttemptEnd, Change, Claim, ClientReport, PlannedJob, Storage, SubmissionRecord,
};

/// How long an event may take that must come; a real service on a busy machine needs some of it.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The storage under test.
pub type Store = Arc<dyn Storage>;

/// `seconds` after a moment in 2026.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_790_000_000 + seconds) * 1_000_000)
}

/// A name of any kind.
pub fn name<T: std::str::FromStr<Err = Error>>(text: &str) -> T {
    text.parse().expect("a valid name")
}

/// Debian bookworm, deb, in `sbuild`, on `arch`.
pub fn target(arch: &str) -> Target {
    target_in("bookworm", arch)
}

/// Debian `suite`, deb, in `sbuild`, on `arch`.
pub fn target_in(suite: &str, arch: &str) -> Target {
    Target {
        dist: name("Debian"),
        suite: name(suite),
        arch: name(arch),
        format: name("deb"),
        env: name("sbuild"),
    }
}

/// The route of [`target`].
pub fn route(arch: &str) -> Route {
    target(arch).route()
}

/// A binary job of `package` in `version` for `target`: master, weight and priority 0, not forced. Its sort key is the
/// version's bytes, so versions of equal length order as they read.
pub fn planned_in(package: &str, version: &str, target: Target) -> PlannedJob {
    PlannedJob {
        kind: JobKind::Binary,
        package: name(package),
        version: Some((name(version), version.as_bytes().to_vec())),
        target,
        master: true,
        weight: 0,
        priority: 0,
        force: false,
        source_job: None,
        retries_of: None,
    }
}

/// [`planned_in`] the target of amd64.
pub fn planned(package: &str, version: &str) -> PlannedJob {
    planned_in(package, version, target("amd64"))
}

/// The same with force.
pub fn forced(planned: PlannedJob) -> PlannedJob {
    PlannedJob { force: true, ..planned }
}

/// A source job, labelled `package`.
pub fn planned_source(package: &str) -> PlannedJob {
    PlannedJob {
        kind: JobKind::Source,
        version: None,
        ..planned_in(package, "0", target("source"))
    }
}

/// What a submitter asks for: `package` from the mirror, for bookworm.
pub fn request(package: &str) -> NewSubmission {
    NewSubmission {
        source: Source::Apt { package: name(package), version: None },
        suite: name("bookworm"),
        dist: None,
        format: None,
        arches: Vec::new(),
        env: None,
        priority: 0,
        force: false,
    }
}

/// A submission by `alice` without an idempotency key.
pub fn record(jobs: Vec<PlannedJob>) -> SubmissionRecord {
    let label: PackageName = jobs.first().map_or_else(|| name("none"), |j| j.package.clone());
    SubmissionRecord {
        request: request(label.as_str()),
        principal: "alice".to_owned(),
        names: Vec::new(),
        idempotency_key: None,
        jobs,
    }
}

/// Records a submission of these jobs at second 0 and returns them.
pub async fn submit(storage: &Store, jobs: Vec<PlannedJob>) -> Vec<Job> {
    storage.record_submission(&record(jobs), at(0)).await.expect("it is accepted").jobs
}

/// [`submit`] of one job.
pub async fn submit_one(storage: &Store, job: PlannedJob) -> Job {
    submit(storage, vec![job]).await.remove(0)
}

/// A claim by `client`, process `boot-CLIENT`, with a claim id that nobody else has.
pub fn claim(client: &str, offers: &[Target]) -> Claim {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Claim {
        client: name(client),
        boot: format!("boot-{client}"),
        claim_id: format!("claim-{client}-{:08}", NEXT.fetch_add(1, Ordering::Relaxed)),
        offers: offers.to_vec(),
        weights: Vec::new(),
    }
}

/// Lets `client` claim a job of `target` at second 1; there must be one.
pub async fn take(storage: &Store, client: &str, target: Target) -> Job {
    let claimed = storage.claim(&claim(client, &[target]), at(1)).await.expect("a claim");
    claimed.expect("there is a job to claim")
}

/// Submits one job and lets `client` claim it.
pub async fn submit_and_take(storage: &Store, client: &str, job: PlannedJob) -> Job {
    let target = job.target.clone();
    submit_one(storage, job).await;
    take(storage, client, target).await
}

/// What `client` reports of itself: two slots, these offers.
pub fn report(client: &str, offers: &[Target]) -> ClientReport {
    ClientReport {
        name: name(client),
        boot: format!("boot-{client}"),
        version: "0.1.0".to_owned(),
        slots: 2,
        offers: offers.to_vec(),
        weights: Vec::new(),
    }
}

/// A change of the job as it is to `status`, by `test`, with nothing else.
pub fn change(job: &Job, status: JobStatus) -> Change {
    Change {
        expected: job.row_version,
        expected_lease: None,
        after: Job { status, row_version: job.row_version + 1, ..job.clone() },
        actor: "test".to_owned(),
        cause: format!("to {status}"),
        attempt_end: None,
        reopen_attempt: false,
        needs_files: false,
        follow: Vec::new(),
        version_key: None,
        health: None,
    }
}

/// The same, with the end of the newest attempt.
pub fn ending(job: &Job, status: JobStatus, outcome: Outcome) -> Change {
    Change { attempt_end: Some(end(outcome)), ..change(job, status) }
}

/// The end of an attempt, without failure and digest.
pub fn end(outcome: Outcome) -> AttemptEnd {
    AttemptEnd { outcome, failure: None, log_sha256: None }
}

/// Applies a change at second 2; nobody may have been faster. Returns the job as it is then.
pub async fn apply(storage: &Store, change: Change) -> Job {
    match storage.advance(&change, at(2)).await.expect("a legal change") {
        Advance::Done(job, _) => *job,
        Advance::Stale(job) => panic!("somebody was faster: {job:?}"),
    }
}

/// Moves a fresh `Waiting` job along legal transitions until it is in `status`.
pub async fn bring(storage: &Store, planned: PlannedJob, status: JobStatus) -> Job {
    use JobStatus::{Blocked, Building, Cancelled, Cancelling, Done, Failed, Uploaded, Waiting};
    let path: &[JobStatus] = match status {
        Waiting | Building => &[],
        Cancelled => &[Cancelling, Cancelled],
        Done => &[Uploaded, Done],
        Blocked => &[Blocked],
        Cancelling => &[Cancelling],
        Uploaded => &[Uploaded],
        Failed => &[Failed],
    };
    if status == Waiting {
        return submit_one(storage, planned).await;
    }
    let target = planned.target.clone();
    let new = submit_one(storage, planned).await;
    let mut job = take(storage, "bringer", target).await;
    assert_eq!(job.id, new.id, "nothing else waits for this target");
    for step in path {
        let outcome = match step {
            Uploaded => Some(Outcome::Succeeded),
            Blocked | Failed => Some(Outcome::Failed),
            Cancelled => Some(Outcome::Cancelled),
            _ => None,
        };
        let attempt_end = outcome.map(end);
        job = apply(storage, Change { attempt_end, ..change(&job, *step) }).await;
    }
    job
}

/// The job as it is now; it exists.
pub async fn now(storage: &Store, job: &Job) -> Job {
    storage.job(job.id).await.expect("an answer").expect("the job exists")
}

/// A declared file of `size` bytes; its digest is made from its name.
pub fn file(name: &str, size: u64) -> FileSpec {
    let digest: Vec<u8> = name.bytes().cycle().take(32).collect();
    FileSpec { name: self::name(name), size, sha256: hex::encode(digest) }
}

/// The owner of the newest attempt's streams.
pub fn attempt_of(job: &Job) -> StreamOwner {
    StreamOwner::Attempt { job: job.id, attempt: job.attempt }
}

/// The log stream of the newest attempt.
pub async fn log_of(storage: &Store, job: &Job) -> StreamId {
    let streams = storage.streams(attempt_of(job)).await.expect("an answer");
    streams.iter().find(|s| s.role == StreamRole::Log).expect("an attempt has a log").id
}

/// Declares one file of the newest attempt.
pub async fn declare(storage: &Store, job: &Job, name: &str, size: u64) -> StreamId {
    let files = [file(name, size)];
    let streams = storage.declare_files(attempt_of(job), &files, at(2)).await.expect("declared");
    streams.first().expect("one stream a file").id
}

/// A part of `length` bytes at `offset`, kept in an object named after both.
pub fn part(offset: u64, length: u64) -> Part {
    Part { offset, length, object: format!("object-{offset}-{length}") }
}

/// The one of these that failed, as it must have: of this kind and with this code.
pub fn refusal<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, code: &str) -> Error {
    let error = result.expect_err("it must be refused");
    assert_eq!((error.kind(), error.code()), (kind, code), "{error:?}");
    error
}

/// A client's name.
pub fn client(text: &str) -> ClientName {
    name(text)
}

/// Does `act` from `callers` tasks that start together, and returns what each came to.
pub async fn together<T, F>(callers: usize, act: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(callers));
    let tasks: Vec<_> = (0..callers)
        .map(|n| {
            let (start, work) = (Arc::clone(&start), act(n));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(callers);
    for task in tasks {
        results.push(task.await.expect("a caller does not panic"));
    }
    results
}

/// Waits for an event that must come within [`DEADLINE`].
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(DEADLINE, event).await;
    came.unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}
