//! What tests of the state machine begin with.

use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobId, JobKind, JobStatus, SubmissionId, Target};

/// A job that waits, one second after the beginning of time.
pub(crate) fn job() -> Job {
    let at = Timestamp::from_micros(1_000_000);
    Job {
        id: JobId(1),
        submission: SubmissionId(1),
        kind: JobKind::Binary,
        package: "hello".parse().unwrap(),
        version: Some("2.10-3".parse().unwrap()),
        target: Target {
            dist: "Debian".parse().unwrap(),
            suite: "bookworm".parse().unwrap(),
            arch: "amd64".parse().unwrap(),
            format: "deb".parse().unwrap(),
            env: "sbuild".parse().unwrap(),
        },
        master: true,
        status: JobStatus::Waiting,
        row_version: 1,
        attempt: 0,
        client: None,
        lease_epoch: 0,
        infra_retries: 0,
        dep_waits: 0,
        lost_by: Vec::new(),
        avoid: None,
        not_before: at,
        priority: 0,
        weight: 1,
        unmet: Vec::new(),
        failure: None,
        produced: Vec::new(),
        source_job: None,
        retries_of: None,
        superseded_by: None,
        created_at: at,
        changed_at: at,
    }
}
