//! Runs of bytes that grow by offset.

use crate::conformance::support::{
    Store, at, attempt_of, file, log_of, part, planned, refusal, submit_and_take, together,
};
use crate::error::ErrorKind;
use crate::model::{Appended, JobId, Part, Stream, StreamId, StreamOwner, StreamRole, UploadId};

async fn get(s: &Store, id: StreamId) -> Stream {
    s.stream(id).await.expect("an answer").expect("the stream exists")
}

async fn parts(s: &Store, id: StreamId, offset: u64, limit: u32) -> Vec<Part> {
    s.parts(id, offset, limit).await.expect("an answer")
}

/// An upload of one file, and its stream.
async fn upload_of(s: &Store, size: u64) -> StreamId {
    let upload = s.new_upload("alice", &[file("a.dsc", size)], at(0)).await.expect("an upload");
    s.streams(StreamOwner::Upload(upload.id)).await.expect("an answer")[0].id
}

pub(super) async fn an_upload_keeps_its_owner_and_files(s: Store) {
    let files = [file("a.dsc", 5), file("a.tar.xz", 0)];
    let upload = s.new_upload("alice", &files, at(4)).await.expect("an upload");
    let other = s.new_upload("bob", &files, at(5)).await.expect("equal names in another upload");
    assert_ne!(upload.id, other.id);
    assert_eq!((upload.principal.as_str(), upload.created_at), ("alice", at(4)));
    assert_eq!(s.upload(upload.id).await.expect("an answer"), Some(upload.clone()));
    let streams = s.streams(StreamOwner::Upload(upload.id)).await.expect("an answer");
    assert_eq!(streams.len(), 2);
    for (stream, declared) in streams.iter().zip(&files) {
        assert_eq!((stream.role, &stream.name), (StreamRole::File, &declared.name));
        assert_eq!(
            (stream.size, stream.sha256.clone()),
            (Some(declared.size), Some(declared.sha256.clone()))
        );
        assert_eq!((stream.length, &stream.object), (0, &None));
        assert_eq!(get(&s, stream.id).await, *stream);
    }
}

pub(super) async fn absent_streams_are_none(s: Store) {
    let (stream, upload) = (StreamId(7_000_000), UploadId(7_000_000));
    assert_eq!(s.stream(stream).await.expect("an answer"), None);
    assert_eq!(s.upload(upload).await.expect("an answer"), None);
    let nobody = StreamOwner::Attempt { job: JobId(7_000_000), attempt: 1 };
    assert!(s.streams(nobody).await.expect("an answer").is_empty());
    assert!(s.streams(StreamOwner::Upload(upload)).await.expect("an answer").is_empty());
    assert!(parts(&s, stream, 0, 10).await.is_empty());
    assert!(!s.merge_parts(stream, &part(0, 1)).await.expect("an answer"));
    let kinds = [
        s.append_part(stream, &part(0, 1)).await.map(drop).expect_err("nothing to append to"),
        s.seal(stream, 0, "object", "00").await.map(drop).expect_err("nothing to seal"),
        s.reset(stream).await.expect_err("nothing to reset"),
        s.declare_files(nobody, &[file("a", 1)], at(0)).await.map(drop).expect_err("no job"),
        s.declare_files(StreamOwner::Upload(upload), &[file("a", 1)], at(0))
            .await
            .map(drop)
            .expect_err("no upload"),
    ];
    for error in kinds {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
}

pub(super) async fn declaring_twice_returns_the_same_streams(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let owner = attempt_of(&job);
    let (a, b) = (file("a.deb", 3), file("b.deb", 4));
    let declare = async |files: &[_]| s.declare_files(owner, files, at(2)).await;
    let first = declare(&[a.clone(), b.clone()]).await.expect("declared");
    assert_eq!(first.iter().map(|f| &f.name).collect::<Vec<_>>(), [&a.name, &b.name]);
    s.append_part(first[0].id, &part(0, 2)).await.expect("appended");
    let again = declare(&[a.clone(), b.clone()]).await.expect("declared again");
    let ids = |streams: &[Stream]| streams.iter().map(|f| f.id).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(again[0].length, 2, "what has arrived stays");
    let more = declare(&[b.clone(), file("c.deb", 0)]).await.expect("a new name is added");
    assert_eq!((more.len(), more[0].id), (2, first[1].id));

    let before = s.streams(owner).await.expect("an answer");
    assert_eq!(before.len(), 4, "the log and three files");
    let longer = crate::model::FileSpec { size: 4, ..a.clone() };
    let others = crate::model::FileSpec { sha256: b.sha256.clone(), ..a.clone() };
    for changed in [longer, others] {
        let result = declare(&[file("d.deb", 1), changed]).await;
        refusal(result, ErrorKind::Conflict, "manifest_changed");
    }
    assert_eq!(s.streams(owner).await.expect("an answer"), before, "a refused list adds nothing");
    let twice = [file("e.deb", 1), file("e.deb", 1)];
    let twice = declare(&twice).await.expect("an equal repetition says nothing new");
    assert_eq!(twice[0], twice[1]);
    let contradicts = [file("f.deb", 1), file("f.deb", 2)];
    refusal(declare(&contradicts).await, ErrorKind::Conflict, "manifest_changed");
    let upload = s.new_upload("alice", &contradicts, at(2)).await;
    refusal(upload, ErrorKind::Conflict, "manifest_changed");
    // A file may be called like the log without being it.
    let named_log = declare(&[file("log", 9)]).await.expect("declared");
    assert_eq!((named_log[0].role, named_log[0].size), (StreamRole::File, Some(9)));
}

pub(super) async fn a_part_is_appended_at_the_end_only(s: Store) {
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let log = log_of(&s, &job).await;
    let append = async |part: Part| s.append_part(log, &part).await.expect("an answer");
    assert_eq!(append(part(1, 5)).await, Appended::Mismatch(0), "a gap");
    assert_eq!(append(part(0, 5)).await, Appended::Grown(5));
    assert_eq!(append(part(0, 5)).await, Appended::Mismatch(5), "a repetition");
    assert_eq!(append(part(3, 5)).await, Appended::Mismatch(5), "an overlap");
    assert_eq!(append(part(5, 3)).await, Appended::Grown(8));
    assert_eq!(get(&s, log).await.length, 8);
    assert_eq!(parts(&s, log, 0, 10).await, [part(0, 5), part(5, 3)]);

    for round in 0..5 {
        let offset = get(&s, log).await.length;
        let results = together(8, |n| {
            let (s, length) = (Store::clone(&s), n as u64 + 1);
            let object = format!("round-{round}-caller-{n}");
            async move {
                let part = Part { offset, length, object };
                loop {
                    match s.append_part(log, &part).await {
                        Err(e) if e.is_retryable() => {}
                        result => return (part, result.expect("an answer")),
                    }
                }
            }
        })
        .await;
        let grown: Vec<_> =
            results.iter().filter(|(_, r)| matches!(r, Appended::Grown(_))).collect();
        assert_eq!(grown.len(), 1, "exactly one of 8 concurrent appends");
        let [(winner, _)] = grown.as_slice() else { unreachable!("there is one") };
        let length = offset + winner.length;
        for (part, result) in &results {
            let expected =
                if part == winner { Appended::Grown(length) } else { Appended::Mismatch(length) };
            assert_eq!(*result, expected);
        }
        assert_eq!(
            parts(&s, log, offset, 10).await,
            std::slice::from_ref(winner),
            "and its bytes are the ones"
        );
    }
}

pub(super) async fn a_file_never_outgrows_its_declared_size(s: Store) {
    let id = upload_of(&s, 10).await;
    let over = s.append_part(id, &part(0, 11)).await;
    refusal(over, ErrorKind::Invalid, "size_exceeded");
    s.append_part(id, &part(0, 9)).await.expect("appended");
    refusal(s.append_part(id, &part(9, 2)).await, ErrorKind::Invalid, "size_exceeded");
    assert_eq!(get(&s, id).await.length, 9, "nothing changes");
    assert_eq!(parts(&s, id, 0, 10).await, [part(0, 9)]);
    let last = s.append_part(id, &part(9, 1)).await.expect("exactly the declared size");
    assert_eq!(last, Appended::Grown(10));
    refusal(s.append_part(id, &part(10, 1)).await, ErrorKind::Invalid, "size_exceeded");
}

pub(super) async fn parts_start_with_the_one_that_holds_the_offset(s: Store) {
    let id = upload_of(&s, 100).await;
    for (offset, length) in [(0, 10), (10, 1), (11, 20), (31, 5)] {
        s.append_part(id, &part(offset, length)).await.expect("appended");
    }
    let all = [part(0, 10), part(10, 1), part(11, 20), part(31, 5)];
    let cases = [(0, 0), (9, 0), (10, 1), (11, 2), (30, 2), (31, 3), (35, 3), (36, 4), (99, 4)];
    for (offset, first) in cases {
        assert_eq!(parts(&s, id, offset, 10).await, all[first..], "from {offset}");
    }
    assert_eq!(parts(&s, id, 10, 2).await, all[1..3], "at most the limit");
}

pub(super) async fn merged_parts_are_exactly_covered(s: Store) {
    let id = upload_of(&s, 100).await;
    for (offset, length) in [(0, 10), (10, 5), (15, 5), (20, 10)] {
        s.append_part(id, &part(offset, length)).await.expect("appended");
    }
    let before = parts(&s, id, 0, 10).await;
    let never = [(10, 6), (10, 4), (11, 9), (9, 11), (20, 20), (30, 1), (10, 0), (0, 31), (5, 5)];
    for (offset, length) in never {
        assert!(
            !s.merge_parts(id, &part(offset, length)).await.expect("an answer"),
            "{offset}+{length}"
        );
        assert_eq!(parts(&s, id, 0, 10).await, before, "{offset}+{length}: nothing changes");
    }
    let into = Part { object: "merged".to_owned(), ..part(10, 10) };
    assert!(s.merge_parts(id, &into).await.expect("an answer"));
    assert_eq!(parts(&s, id, 0, 10).await, [part(0, 10), into.clone(), part(20, 10)]);
    let all = Part { object: "all".to_owned(), ..part(0, 30) };
    assert!(s.merge_parts(id, &all).await.expect("an answer"), "merged parts merge again");
    assert_eq!(parts(&s, id, 0, 10).await, [all]);
    assert_eq!(get(&s, id).await.length, 30, "the length stays");
    assert_eq!(s.append_part(id, &part(30, 1)).await.expect("it still grows"), Appended::Grown(31));
}
