//! Streams that are complete, start again, or wait for the archive.

use crate::conformance::support::{
    Store, apply, at, change, declare, ending, file, log_of, part, planned, planned_in, refusal,
    submit_and_take, take, target,
};
use crate::error::ErrorKind;
use crate::model::{Appended, Job, JobStatus, Outcome, Stream, StreamId, StreamOwner};
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

pub(super) async fn complete_files_are_found_by_their_digest(s: Store) {
    let (job, id) = at_work(&s).await;
    let digest = get(&s, id).await.sha256.expect("declared");
    let objects = async || s.objects_of(&digest).await.expect("an answer");
    assert!(objects().await.is_empty(), "it still arrives");
    s.append_part(id, &part(4, 6)).await.expect("appended");
    assert!(seal(&s, id, 10).await);
    assert_eq!(objects().await, ["whole"]);
    for object in ["whole", "another"] {
        let upload = s.new_upload("alice", &[file("a.deb", 10)], at(3)).await.expect("an upload");
        let streams = s.streams(StreamOwner::Upload(upload.id)).await.expect("an answer");
        let same = streams.first().expect("one stream a file").id;
        s.append_part(same, &part(0, 10)).await.expect("appended");
        assert!(s.seal(same, 10, object, &digest).await.expect("an answer"));
    }
    assert_eq!(objects().await, ["another", "whole"], "each once");
    let log = log_of(&s, &job).await;
    assert!(s.seal(log, 0, "a-log", &"2".repeat(64)).await.expect("an answer"));
    assert!(s.objects_of(&"2".repeat(64)).await.expect("an answer").is_empty(), "no log");
}

pub(super) async fn files_that_never_became_whole_are_given_up(s: Store) {
    let (job, of_job) = at_work(&s).await;
    let log = log_of(&s, &job).await;
    s.append_part(log, &part(0, 3)).await.expect("appended");
    let files = [file("a.dsc", 5), file("whole.dsc", 5), file("empty.dsc", 5)];
    let upload = s.new_upload("alice", &files, at(5)).await.expect("an upload");
    let streams = s.streams(StreamOwner::Upload(upload.id)).await.expect("an answer");
    let [of_upload, whole, _] = [0, 1, 2].map(|n| streams.get(n).expect("three files").id);
    for piece in [part(0, 2), part(2, 2)] {
        s.append_part(of_upload, &piece).await.expect("appended");
    }
    s.append_part(whole, &part(0, 5)).await.expect("appended");
    assert!(seal(&s, whole, 5).await);
    let give_up = async |before, limit| {
        let objects = s.give_up_unfinished(at(before), limit).await.expect("an answer");
        objects.len()
    };
    assert_eq!(give_up(5, 10).await, 0, "too young, or its attempt goes on");
    assert_eq!(give_up(6, 10).await, 2, "every piece of the upload's file");
    assert_eq!(give_up(9, 10).await, 0, "the attempt goes on still");
    // It ends at second 2.
    apply(&s, ending(&job, Failed, Outcome::Failed)).await;
    assert_eq!(give_up(2, 10).await, 0, "it has just ended");
    assert_eq!(give_up(3, 0).await, 0, "at most the limit");
    let objects = s.give_up_unfinished(at(3), 10).await.expect("an answer");
    assert_eq!(objects, [part(0, 4).object]);
    for id in [of_job, of_upload] {
        assert_eq!(get(&s, id).await.length, 0);
        assert!(s.parts(id, 0, 10).await.expect("an answer").is_empty());
    }
    assert_eq!(get(&s, log).await.length, 3, "a log stays");
    assert_eq!(get(&s, whole).await.object.as_deref(), Some("whole"));
    let again = s.append_part(of_upload, &part(0, 5)).await.expect("appended");
    assert_eq!(again, Appended::Grown(5), "its sender starts again");
}
