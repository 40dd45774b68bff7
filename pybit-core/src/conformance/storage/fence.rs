//! Which attempt may still write.

use crate::conformance::support::{
    Store, apply, at, attempt_of, change, declare, ending, file, log_of, part, planned, planned_in,
    refusal, submit_and_take, submit_one, take, target,
};
use crate::error::{ErrorKind, Result};
use crate::model::{Job, JobStatus, Outcome, StreamId, StreamOwner};

use JobStatus::{Blocked, Cancelled, Cancelling, Done, Failed, Uploaded, Waiting};

/// Streams of one attempt: its log, and a file of 10 bytes that has 4.
#[derive(Debug, Clone, Copy)]
struct Streams {
    owner: StreamOwner,
    log: StreamId,
    file: StreamId,
}

async fn streams(s: &Store, job: &Job) -> Streams {
    let file = declare(s, job, "a.deb", 10).await;
    s.append_part(file, &part(0, 4)).await.expect("appended");
    Streams { owner: attempt_of(job), log: log_of(s, job).await, file }
}

async fn append(s: &Store, stream: StreamId) -> Result<()> {
    let length = s.stream(stream).await?.expect("it exists").length;
    s.append_part(stream, &part(length, 1)).await.map(drop)
}

/// Every way to write to an attempt's files.
async fn write_files(s: &Store, at_work: Streams) -> Vec<(&'static str, Result<()>)> {
    let files = [file("new.deb", 1)];
    let length = s.stream(at_work.file).await.expect("an answer").expect("it exists").length;
    vec![
        ("append", append(s, at_work.file).await),
        ("declare", s.declare_files(at_work.owner, &files, at(3)).await.map(drop)),
        ("seal", s.seal(at_work.file, length, "object", &"0".repeat(64)).await.map(drop)),
        ("reset", s.reset(at_work.file).await),
    ]
}

async fn refuses_files(s: &Store, at_work: Streams, code: &str) {
    let before = s.streams(at_work.owner).await.expect("an answer");
    for (write, result) in write_files(s, at_work).await {
        let error = refusal(result, ErrorKind::Conflict, code);
        assert!(!error.message().is_empty(), "{write}");
    }
    assert_eq!(s.streams(at_work.owner).await.expect("an answer"), before, "nothing changes");
}

pub(super) async fn writes_of_an_older_attempt_are_refused(s: Store) {
    let first = submit_and_take(&s, "c", planned("hello", "1")).await;
    let old = streams(&s, &first).await;
    apply(&s, ending(&first, Waiting, Outcome::Lost)).await;
    append(&s, old.log).await.expect("nobody has claimed it again: a late log is taken");
    append(&s, old.file).await.expect("and a late file too");
    let second = take(&s, "d", target("amd64")).await;
    let new = streams(&s, &second).await;
    refusal(append(&s, old.log).await, ErrorKind::Conflict, "stale_attempt");
    refuses_files(&s, old, "stale_attempt").await;
    append(&s, new.log).await.expect("the newest attempt writes");
    append(&s, new.file).await.expect("the newest attempt writes");
}

pub(super) async fn writes_of_a_future_attempt_are_refused(s: Store) {
    let waiting = submit_one(&s, planned("hello", "1")).await;
    let files = [file("a.deb", 1)];
    for attempt in [1, 2] {
        let owner = StreamOwner::Attempt { job: waiting.id, attempt };
        let result = s.declare_files(owner, &files, at(3)).await;
        refusal(result, ErrorKind::Conflict, "future_attempt");
        assert!(s.streams(owner).await.expect("an answer").is_empty());
    }
    let job = take(&s, "c", target("amd64")).await;
    let owner = StreamOwner::Attempt { job: job.id, attempt: 2 };
    let result = s.declare_files(owner, &files, at(3)).await;
    refusal(result, ErrorKind::Conflict, "future_attempt");
    assert!(s.streams(owner).await.expect("an answer").is_empty());
}

pub(super) async fn writes_to_an_ended_job_are_refused(s: Store) {
    // Each path starts at Building and ends in the status that is tried.
    let paths: [&[JobStatus]; 7] = [
        &[Blocked],
        &[Uploaded],
        &[Failed],
        &[Uploaded, Done],
        &[Cancelling],
        &[Cancelling, Cancelled],
        &[Waiting],
    ];
    for (n, path) in paths.into_iter().enumerate() {
        let arch = format!("arch{n}");
        let mut job = submit_and_take(&s, "c", planned_in("hello", "1", target(&arch))).await;
        let at_work = streams(&s, &job).await;
        for status in path {
            job = apply(&s, change(&job, *status)).await;
        }
        let status = job.status;
        let log = append(&s, at_work.log).await;
        match status {
            Waiting | Cancelling => assert!(log.is_ok(), "{status} takes a log: {log:?}"),
            _ => drop(refusal(log, ErrorKind::Conflict, "not_building")),
        }
        if status == Waiting {
            append(&s, at_work.file).await.expect("nobody has claimed it again: files are taken");
        } else {
            refuses_files(&s, at_work, "not_building").await;
        }
    }
}
