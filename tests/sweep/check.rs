//! What holds of every job, whatever was killed: the invariants I2 to I6, I9, I10, I12 and I13 of the fault harness, by the
//! API, the stored bytes and the repository.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::stage::Stage;
use crate::support::{Farm, http};

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Checks every job of submissions that have ended, and what readers see of their packages.
pub(crate) fn submissions(stage: &mut Stage, ids: &[String]) {
    let mut done: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for id in ids {
        let binary = submission(stage, id);
        let package = binary["job"]["package"].as_str().unwrap().to_owned();
        let done = done.entry(package).or_default();
        done.extend((binary["job"]["status"] == "Done").then_some(binary));
    }
    for (package, done) in done {
        repository(&stage.farm, &package, &done);
    }
}

/// Checks every job of a submission; its binary job.
fn submission(stage: &mut Stage, id: &str) -> Value {
    let path = format!("/api/v1/submissions/{id}");
    let reply = stage.wait("the end of a submission", |farm| {
        let reply = Stage::ask(farm, &path)?;
        let ends = ["Done", "Failed", "Cancelled"];
        let ended = |job: &Value| ends.iter().any(|end| job["status"] == *end);
        reply["jobs"].as_array()?.iter().all(ended).then_some(reply)
    });
    let mut binaries = Vec::new();
    for job in reply["jobs"].as_array().unwrap() {
        let path = format!("/api/v1/jobs/{}", job["id"]);
        let detail = stage.wait("a job", |farm| Stage::ask(farm, &path));
        history(&detail);
        attempts(&stage.farm, &detail);
        files(&stage.farm, &detail);
        binaries.extend((job["kind"] == "binary").then_some(detail));
    }
    assert_eq!(binaries.len(), 1, "one binary job, once: {reply}");
    binaries.remove(0)
}

/// I2, I4: events are numbered without a gap, each begins where the one before ended, and nothing follows an end.
fn history(detail: &Value) {
    let events = detail["events"].as_array().unwrap();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["number"], place + 1, "{detail}");
        let before = place.checked_sub(1).map_or(&Value::Null, |n| &events[n]["to"]);
        assert_eq!(&event["from"], before, "{detail}");
        let ended = ["Done", "Failed", "Cancelled"].iter().any(|end| event["from"] == *end);
        assert!(!ended, "something came after an end: {detail}");
    }
    assert_eq!(events.last().unwrap()["to"], detail["job"]["status"]);
    let published = events.iter().filter(|e| e["to"] == "Done").count();
    assert_eq!(published, usize::from(detail["job"]["status"] == "Done"), "{detail}");
}

/// I3, I6, I9: attempts rise by one, one at most is accepted, and each log is what its client said.
fn attempts(farm: &Farm, detail: &Value) {
    let attempts = detail["attempts"].as_array().unwrap();
    for (place, attempt) in attempts.iter().enumerate() {
        assert_eq!(attempt["number"], place + 1, "{detail}");
        assert!(!attempt["outcome"].is_null(), "an attempt has not ended: {detail}");
        let Some(sha256) = attempt["log_sha256"].as_str() else { continue };
        let (job, number) = (&detail["job"]["id"], &attempt["number"]);
        let path = format!("/api/v1/jobs/{job}/log?attempt={number}");
        let log = http::ask(&farm.address(), "GET", &path, &[], b"").body;
        if attempt["log_length"] != log.len() || digest(log.as_bytes()) != sha256 {
            // A stopped build may leave its last lines behind; nothing else may.
            assert_eq!(attempt["outcome"], "cancelled", "job {job}: a log is not whole: {log}");
        }
    }
    let accepted = attempts.iter().filter(|a| a["outcome"] == "succeeded").count();
    assert_eq!(accepted, usize::from(detail["job"]["status"] == "Done"), "{detail}");
}

/// I10: every complete file of a job is stored with the bytes that its digest says.
fn files(farm: &Farm, detail: &Value) {
    for file in detail["files"].as_array().unwrap() {
        let Some(sha256) = file["sha256"].as_str().filter(|_| file["complete"] == true) else {
            continue;
        };
        let folder = farm.path().join("data/blobs/blobs").join(&sha256[..2]);
        let objects: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{file}: {}: {e}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy();
                // `#` marks what the store was still writing when its server was killed.
                name.starts_with(sha256) && !name.contains('#')
            })
            .collect();
        // An object that a killed server left unnamed may stand beside the named one until it is cleared away; its bytes
        // are the same.
        assert!(!objects.is_empty(), "no object in {} for {file}", folder.display());
        for object in objects {
            let bytes = std::fs::read(&object).unwrap();
            assert_eq!(
                (digest(&bytes), bytes.len() as u64),
                (sha256.to_owned(), file["size"].as_u64().unwrap()),
                "{}",
                object.display()
            );
        }
    }
}

/// I12, I13: the repository lists a package once for each job that is `Done`, with the bytes that it lists, and nothing of
/// a job that ended otherwise.
fn repository(farm: &Farm, package: &str, done: &[Value]) {
    assert_eq!(farm.published(package), vec!["1.0"; done.len()], "{package}: {done:?}");
    if done.is_empty() {
        return;
    }
    let site = farm.path().join("data/repositories/bookworm/current");
    let index = farm.index();
    let paragraph = index.split("\n\n").find(|p| p.starts_with(&format!("Package: {package}\n")));
    let field = |name: &str| {
        let mut lines = paragraph.unwrap().lines();
        lines.find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned()
    };
    let file = site.join(Path::new(&field("Filename:")));
    let digest = digest(&std::fs::read(&file).unwrap());
    assert_eq!(digest, field("SHA256:"), "{}", file.display());
    let files = done[0]["files"].as_array().unwrap();
    assert!(files.iter().any(|f| f["sha256"] == *digest), "not the bytes of the job: {done:?}");
}
