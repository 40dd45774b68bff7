//! Streams that are complete, start again, or wait for the archive.

use crate::conformance::support::{
    Store, apply, at, change, declare, ending, file, log_of, part, planned, planned_in, refusal,
    submit_and_take, take, target,
};
use crate::error::ErrorKind;
use crate::model::{Appended, Job, JobStatus, Outcome, Stream, StreamId};
use crate::storage::Change;

use JobStatus::{Building, Cancelled, Cancelling, Failed, Uploaded, Waiting};

const DIGEST: &str = "1111111111111111111111111111111111111111111111111111111111111111";

async fn get(s: &Store, id: StreamId) -> Stream {
    s.stream(id).await.expect("an answer").expect("the stream exists")
}

async fn seal(s: &Store, id: StreamId, length: u64) -> bool {
    s.seal(id, length, "whole", DIGEST).await.expect("an answer")
}

/// A job at work on a file of 10 bytes that has 4.
async fn at_work(s: &Store) -> (Job, StreamId) {
    let job = submit_and_take(s, "c", planned("hello", "1")).await;
    let id = declare(s, &job, "a.deb", 10).await;
    s.append_part(id, &part(0, 4)).await.expect("appended");
    (job, id)
}

pub(super) async fn a_sealed_stream_does_not_grow(s: Store) {
    let (job, id) = at_work(&s).await;
    s.append_part(id, &part(4, 6)).await.expect("appended");
    let log = log_of(&s, &job).await;
    s.append_part(log, &part(0, 3)).await.expect("appended");
    assert!(seal(&s, id, 10).await && seal(&s, log, 3).await);
    for (id, end) in [(id, 10), (log, 3)] {
        let before = get(&s, id).await;
        for part in [part(end, 1), part(0, 1)] {
            refusal(s.append_part(id, &part).await, ErrorKind::Conflict, "sealed");
        }
        assert_eq!(get(&s, id).await, before);
    }
}

pub(super) async fn sealing_needs_the_whole_stream(s: Store) {
    let (job, id) = at_work(&s).await;
    refusal(s.seal(id, 4, "whole", DIGEST).await, ErrorKind::Conflict, "incomplete");
    assert!(!seal(&s, id, 10).await, "its length is another");
    let log = log_of(&s, &job).await;
    s.append_part(log, &part(0, 3)).await.expect("appended");
    assert!(!seal(&s, log, 2).await, "the log has grown since it was read");
    assert!(!seal(&s, log, 4).await);
    for id in [id, log] {
        assert_eq!(get(&s, id).await.object, None, "nothing changes");
        assert_eq!(s.parts(id, 0, 10).await.expect("an answer").len(), 1);
    }
    s.append_part(id, &part(4, 6)).await.expect("it still grows");
    assert!(seal(&s, id, 10).await);
    let empty = declare(&s, &job, "empty", 0).await;
    assert!(seal(&s, empty, 0).await, "an empty file is whole at once");
}

pub(super) async fn a_sealed_stream_is_one_object(s: Store) {
    let (job, id) = at_work(&s).await;
    s.append_part(id, &part(4, 6)).await.expect("appended");
    let log = log_of(&s, &job).await;
    s.append_part(log, &part(0, 3)).await.expect("appended");
    let declared = get(&s, id).await.sha256;
    assert!(seal(&s, id, 10).await && seal(&s, log, 3).await);
    let (file, log) = (get(&s, id).await, get(&s, log).await);
    assert_eq!((file.length, file.object.as_deref()), (10, Some("whole")));
    assert_eq!(file.sha256, declared, "a file keeps its declared digest");
    assert_eq!((log.length, log.object.as_deref()), (3, Some("whole")));
    assert_eq!(log.sha256.as_deref(), Some(DIGEST), "a log takes the digest of the whole");
    for stream in [&file, &log] {
        assert!(s.parts(stream.id, 0, 10).await.expect("an answer").is_empty(), "no parts");
        let again = s.seal(stream.id, stream.length, "other", DIGEST).await.expect("an answer");
        assert!(!again, "it is sealed already");
        assert_eq!(get(&s, stream.id).await, *stream, "nothing changes");
        let into = part(0, stream.length);
        assert!(!s.merge_parts(stream.id, &into).await.expect("an answer"), "nothing to merge");
    }
}

pub(super) async fn a_reset_file_starts_again_from_0(s: Store) {
    let (job, id) = at_work(&s).await;
    s.append_part(id, &part(4, 2)).await.expect("appended");
    let before = get(&s, id).await;
    s.reset(id).await.expect("reset");
    assert_eq!(get(&s, id).await, Stream { length: 0, ..before });
    assert!(s.parts(id, 0, 10).await.expect("an answer").is_empty());
    s.reset(id).await.expect("an empty one too");
    let again = s.append_part(id, &part(0, 10)).await.expect("appended");
    assert_eq!(again, Appended::Grown(10));
    assert!(seal(&s, id, 10).await);
    refusal(s.reset(id).await, ErrorKind::Conflict, "sealed");
    assert_eq!(get(&s, id).await.length, 10);
    let log = log_of(&s, &job).await;
    s.append_part(log, &part(0, 3)).await.expect("appended");
    s.reset(log).await.expect_err("a log never starts again");
    assert_eq!(get(&s, log).await.length, 3);
}

pub(super) async fn unsealed_logs_are_those_of_ended_attempts(s: Store) {
    let mut ended = Vec::new();
    for (n, (status, outcome)) in [
        (Uploaded, Outcome::Succeeded),
        (Failed, Outcome::Failed),
        (Waiting, Outcome::Lost),
        (Cancelled, Outcome::Cancelled),
    ]
    .into_iter()
    .enumerate()
    {
        let arch = format!("arch{n}");
        let mut job = submit_and_take(&s, "c", planned_in("hello", "1", target(&arch))).await;
        declare(&s, &job, "never-arrives.deb", 1).await;
        if status == Cancelled {
            job = apply(&s, change(&job, Cancelling)).await;
        }
        let job = apply(&s, ending(&job, status, outcome)).await;
        ended.push((log_of(&s, &job).await, job));
    }
    let lost = submit_and_take(&s, "c", planned("again", "1")).await;
    ended.push((log_of(&s, &lost).await, lost.clone()));
    apply(&s, ending(&lost, Waiting, Outcome::Lost)).await;
    // Its second attempt runs, and so does this one: neither log is over.
    take(&s, "d", lost.target).await;
    submit_and_take(&s, "c", planned("runs", "1")).await;
    let upload = s.new_upload("alice", &[file("a.dsc", 1)], at(0)).await.expect("an upload");
    assert_eq!(upload.principal, "alice", "an upload's file is no log");
    let left = async |limit| {
        let logs = s.unsealed_logs(limit).await.expect("an answer");
        logs.into_iter().map(|l| l.id).collect::<Vec<_>>()
    };
    let all: Vec<_> = ended.iter().map(|(log, _)| *log).collect();
    assert_eq!(left(10).await, all);
    assert_eq!(left(2).await, all[..2], "at most the limit");
    assert!(seal(&s, all[0], 0).await, "a log is sealed when its attempt is over");
    let (_, lost) = &ended[2];
    apply(&s, Change { reopen_attempt: true, ..change(lost, Building) }).await;
    assert_eq!(
        left(10).await,
        [all[1], all[3], all[4]],
        "neither sealed ones nor one that goes on"
    );
}
