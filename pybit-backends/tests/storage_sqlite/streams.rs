//! Logs and files.

use crate::farm::{Farm, at, end};
use pybit_core::ErrorKind;
use pybit_core::model::{Appended, FileSpec, JobStatus, Outcome, Part, StreamOwner, StreamRole};
use pybit_core::storage::{JobStore, StreamStore};

#[tokio::test]
async fn a_file_grows_to_its_size_and_is_sealed() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let owner = StreamOwner::Attempt { job: held.id, attempt: 1 };
    let mut spec = FileSpec { name: "a.deb".parse().unwrap(), size: 10, sha256: "cd".repeat(32) };
    let specs = std::slice::from_ref(&spec);
    let file = farm.store.declare_files(owner, specs, at()).await.unwrap().remove(0);
    assert_eq!(
        farm.store.declare_files(owner, specs, at()).await.unwrap(),
        std::slice::from_ref(&file)
    );
    let part = |offset, length| Part { offset, length, object: format!("o{offset}") };
    for (offset, length) in [(0, 4), (4, 3), (7, 2)] {
        let grown = farm.store.append_part(file.id, &part(offset, length)).await.unwrap();
        assert_eq!(grown, Appended::Grown(offset + length));
    }
    assert_eq!(farm.store.append_part(file.id, &part(4, 3)).await.unwrap(), Appended::Mismatch(9));
    let error = farm.store.append_part(file.id, &part(9, 2)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "size_exceeded"));
    let unsealed =
        farm.try_to(&held, JobStatus::Uploaded, |c| c.needs_files = true).await.unwrap_err();
    assert_eq!(unsealed.code(), "files_incomplete");
    assert_eq!(farm.store.seal(file.id, 9, "w", "x").await.unwrap_err().code(), "incomplete");
    assert_eq!(farm.store.parts(file.id, 5, 9).await.unwrap(), [part(4, 3), part(7, 2)]);
    assert!(!farm.store.merge_parts(file.id, &part(0, 6)).await.unwrap());
    assert!(!farm.store.merge_parts(file.id, &part(1, 6)).await.unwrap());
    let merged = Part { offset: 0, length: 7, object: "m".to_owned() };
    assert!(farm.store.merge_parts(file.id, &merged).await.unwrap());
    assert_eq!(farm.store.parts(file.id, 0, 9).await.unwrap(), [merged, part(7, 2)]);
    farm.store.append_part(file.id, &part(9, 1)).await.unwrap();
    assert!(!farm.store.seal(file.id, 9, "w", "x").await.unwrap());
    assert!(farm.store.seal(file.id, 10, "w", &spec.sha256).await.unwrap());
    assert!(!farm.store.seal(file.id, 10, "w", &spec.sha256).await.unwrap());
    assert_eq!(farm.store.append_part(file.id, &part(10, 1)).await.unwrap_err().code(), "sealed");
    assert_eq!(farm.store.reset(file.id).await.unwrap_err().code(), "sealed");
    spec.size = 11;
    let changed = farm.store.declare_files(owner, &[spec], at()).await.unwrap_err();
    assert_eq!((changed.kind(), changed.code()), (ErrorKind::Conflict, "manifest_changed"));
    farm.to(&held, JobStatus::Uploaded, |c| c.needs_files = true).await;
}

#[tokio::test]
async fn only_the_newest_attempt_of_a_building_job_writes() {
    let farm = Farm::fresh().await;
    farm.submit("a", "1").await;
    let held = farm.claim("box", &["amd64"]).await.unwrap();
    let of = |attempt| StreamOwner::Attempt { job: held.id, attempt };
    let spec = FileSpec { name: "a.deb".parse().unwrap(), size: 1, sha256: "cd".repeat(32) };
    let code = |attempt| {
        let (store, spec) = (&farm.store, spec.clone());
        async move { store.declare_files(of(attempt), &[spec], at()).await.unwrap_err().code() }
    };
    assert_eq!(code(2).await, "future_attempt");
    let log = farm.store.streams(of(1)).await.unwrap().remove(0);
    assert_eq!((log.role, log.name.as_str(), log.length), (StreamRole::Log, "log", 0));
    let part = |offset| Part { offset, length: 1, object: "o".to_owned() };
    farm.store.append_part(log.id, &part(0)).await.unwrap();
    assert!(farm.store.unsealed_logs(9).await.unwrap().is_empty());
    farm.to(&held, JobStatus::Waiting, |c| c.attempt_end = Some(end(Outcome::Lost))).await;
    farm.store.append_part(log.id, &part(1)).await.unwrap();
    let held = farm.claim("other", &["amd64"]).await.unwrap();
    assert_eq!(code(1).await, "stale_attempt");
    assert_eq!(farm.store.append_part(log.id, &part(2)).await.unwrap_err().code(), "stale_attempt");
    assert_eq!(farm.store.unsealed_logs(9).await.unwrap()[0].id, log.id);
    assert!(farm.store.seal(log.id, 2, "whole", "ef").await.unwrap());
    assert!(farm.store.unsealed_logs(9).await.unwrap().is_empty());
    farm.to(&held, JobStatus::Cancelling, |_| ()).await;
    assert_eq!(code(2).await, "not_building");
    let log = farm.store.streams(of(2)).await.unwrap().remove(0);
    farm.store.append_part(log.id, &part(0)).await.unwrap();
    let lengths: Vec<_> =
        farm.store.attempts(held.id).await.unwrap().iter().map(|a| a.log_length).collect();
    assert_eq!(lengths, [2, 1]);
}
