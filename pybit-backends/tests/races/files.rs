//! What happens to files and logs at the same time.

use pybit_core::ErrorKind;
use pybit_core::conformance::support::{
    at, attempt_of, declare, ending, file, log_of, now, part, planned, submit_and_take, together,
};
use pybit_core::model::{Appended, JobStatus, NewPart, Outcome, StreamOwner};
use pybit_core::storage::{Advance, Change};

use super::Servers;

pub(super) async fn one_list_declared_often_makes_its_files_once(servers: Servers) {
    let server = servers.of(0);
    let job = submit_and_take(&server, "box", planned("hello", "1")).await;
    let upload = server.new_upload("ann", &[], at(1)).await.unwrap();
    for owner in [attempt_of(&job), StreamOwner::Upload(upload.id)] {
        let files: Vec<_> = (0..5).map(|n| file(&format!("f{n}"), 9)).collect();
        let declared = together(12, |n| {
            let (server, mut files) = (servers.of(n), files.clone());
            if n % 2 == 0 {
                files.reverse();
            }
            async move {
                let mut streams = server.declare_files(owner, &files, at(2)).await.unwrap();
                streams.sort_by_key(|s| s.id);
                streams
            }
        })
        .await;
        assert!(declared.iter().all(|streams| *streams == declared[0]), "the same streams");
        assert_eq!(declared[0].len(), 5);
    }
}

pub(super) async fn no_file_joins_a_result(servers: Servers) {
    for round in 0..10 {
        let job = submit_and_take(&servers.of(0), "box", planned(&format!("p{round}"), "1")).await;
        let result =
            Change { needs_files: true, ..ending(&job, JobStatus::Uploaded, Outcome::Succeeded) };
        let owner = attempt_of(&job);
        together(4, |n| {
            let (server, result) = (servers.of(n), result.clone());
            async move {
                if n % 2 == 0 {
                    match server.advance(&result, at(2)).await {
                        Ok(Advance::Done(..) | Advance::Stale(_)) => {}
                        Err(error) => assert_eq!(error.code(), "files_incomplete", "{error:?}"),
                    }
                } else if let Err(error) =
                    server.declare_files(owner, &[file("late", 9)], at(2)).await
                {
                    assert_eq!(error.code(), "not_building", "{error:?}");
                }
            }
        })
        .await;
        let server = servers.of(1);
        let files = server.streams(owner).await.unwrap().len() - 1;
        let uploaded = now(&server, &job).await.status == JobStatus::Uploaded;
        assert_eq!(uploaded, files == 0, "a result, or a file that is still to come");
        if !uploaded {
            server.advance(&ending(&job, JobStatus::Failed, Outcome::Failed), at(3)).await.unwrap();
        }
    }
}

/// Appends, merges, resets and a seal at once: what the stream says is what its parts are.
pub(super) async fn parts_stay_whole(servers: Servers) {
    let server = servers.of(0);
    let job = submit_and_take(&server, "box", planned("hello", "1")).await;
    let (log, data) = (log_of(&server, &job).await, declare(&server, &job, "data", 400).await);
    together(12, |n| {
        let server = servers.of(n);
        async move {
            for round in 0..12_u64 {
                for stream in [log, data] {
                    let length = server.stream(stream).await.unwrap().unwrap().length;
                    let outcome = match n % 4 {
                        0 | 1 => server.append_part(stream, &part(length, 10)).await.map(|_| ()),
                        2 => merge_some(&server, stream).await,
                        _ if stream == data && round % 4 == 3 => server.reset(stream).await,
                        _ => server.seal(data, 400, "whole", "digest").await.map(|_| ()),
                    };
                    if let Err(error) = outcome {
                        let codes = ["sealed", "size_exceeded", "incomplete"];
                        let known = codes.contains(&error.code());
                        assert!(known && error.kind() != ErrorKind::Internal, "{error:?}");
                    }
                }
            }
        }
    })
    .await;
    for stream in [log, data] {
        let stream = server.stream(stream).await.unwrap().unwrap();
        let parts = server.parts(stream.id, 0, 1000).await.unwrap();
        let mut end = 0;
        for part in &parts {
            assert_eq!(part.offset, end, "no gap and nothing twice: {parts:?}");
            end += part.length;
        }
        let whole = if stream.object.is_some() { 0 } else { stream.length };
        assert_eq!(end, whole, "{stream:?} {parts:?}");
    }
    let end = server.stream(log).await.unwrap().unwrap().length;
    let grown = server.append_part(log, &part(end, 1)).await.unwrap();
    assert_eq!(grown, Appended::Grown(end + 1));
}

async fn merge_some(
    server: &pybit_core::conformance::support::Store,
    stream: pybit_core::model::StreamId,
) -> pybit_core::Result<()> {
    let parts = server.parts(stream, 0, 4).await?;
    let Some(first) = parts.first() else { return Ok(()) };
    let length = parts.iter().map(|p| p.length).sum();
    let into = NewPart { offset: first.offset, length, object: format!("merged-{length}") };
    server.merge_parts(stream, &into).await.map(|_| ())
}
