//! What the tests of this crate work on.

use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobId, JobKind, JobStatus, SubmissionId, Target};
use pybit_core::protocol::{Assignment, Input, Limits};

/// The target of every sample.
pub(crate) fn target() -> Target {
    Target {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        arch: "amd64".parse().unwrap(),
        format: "deb".parse().unwrap(),
        env: "host".parse().unwrap(),
    }
}

/// A binary job without source files.
pub(crate) fn assignment(id: i64, attempt: u32) -> Assignment {
    Assignment {
        job: job(id, attempt),
        input: Input::Package { main: "hello_1.dsc".parse().unwrap(), files: vec![] },
        repositories: vec![],
        limits: Limits { wall_secs: 60, silent_secs: 60, log_bytes: 1 << 20 },
    }
}

fn job(id: i64, attempt: u32) -> Job {
    let epoch = Timestamp::from_micros(0);
    Job {
        id: JobId(id),
        submission: SubmissionId(1),
        kind: JobKind::Binary,
        package: "hello".parse().unwrap(),
        version: Some("1".parse().unwrap()),
        target: target(),
        master: true,
        status: JobStatus::Building,
        row_version: 2,
        attempt,
        client: None,
        lease_epoch: 1,
        infra_retries: 0,
        dep_waits: 0,
        lost_by: vec![],
        avoid: None,
        not_before: epoch,
        priority: 0,
        weight: 0,
        unmet: vec![],
        failure: None,
        produced: vec![],
        source_job: None,
        retries_of: None,
        superseded_by: None,
        created_at: epoch,
        changed_at: epoch,
    }
}
