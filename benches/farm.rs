//! The farm's own work on SQLite: planning, submissions, claims, log appends; the disk's durable writes beside them.
//!
//! Every SQLite commit is one durable write (`synchronous=FULL`), so `disk/durable_write` of the same run is the limit.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use pybit_backends::deb::DebFormat;
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::farm::plan;
use pybit_core::format::{PackageFormat, SourceInfo};
use pybit_core::memory::MemoryTransport;
use pybit_core::model::{
    Catalogue, NewPart, NewSubmission, StreamOwner, StreamRole, Target, WeightedTarget,
};
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::{Claim, PlannedJob, Storage, SubmissionRecord};
use pybit_core::{Farm, transport::Transport};

const ARCHES: [&str; 8] =
    ["amd64", "arm64", "armhf", "i386", "mips64el", "ppc64el", "riscv64", "s390x"];

fn target(arch: &str) -> Target {
    Target {
        dist: "Debian".parse().expect("a name"),
        suite: "bookworm".parse().expect("a name"),
        arch: arch.parse().expect("a name"),
        format: "deb".parse().expect("a name"),
        env: "sbuild".parse().expect("a name"),
    }
}

fn catalogue() -> Catalogue {
    let weighted = |(i, arch): (usize, &&str)| WeightedTarget {
        target: target(arch),
        weight: 100 - i32::try_from(i).expect("few architectures"),
    };
    Catalogue { targets: ARCHES.iter().enumerate().map(weighted).collect(), ..Catalogue::default() }
}

fn request() -> NewSubmission {
    serde_json::from_value(serde_json::json!({
        "source": {"method": "apt", "package": "hello"}, "suite": "bookworm"
    }))
    .expect("a submission")
}

fn planning(c: &mut Criterion) {
    let (catalogue, request, format) = (catalogue(), request(), DebFormat::default());
    let source = SourceInfo {
        package: "hello".parse().expect("a name"),
        version: "2.10-3".parse().expect("a version"),
        arches: vec!["linux-any".to_owned(), "all".to_owned()],
        binaries: Vec::new(),
        files: Vec::new(),
    };
    c.bench_function("plan/eight_architectures", |bencher| {
        bencher.iter(|| {
            let scope = plan::scope(&catalogue, &request).expect("a scope");
            plan::binary_jobs(&scope, &request, &format, &source, None).expect("a plan")
        });
    });
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A submission of one job of a package that nobody has seen before.
fn record() -> SubmissionRecord {
    let n = NUMBER.fetch_add(1, Ordering::Relaxed);
    let job = PlannedJob {
        kind: pybit_core::model::JobKind::Binary,
        package: format!("package{n}").parse().expect("a name"),
        version: Some(("1.0-1".parse().expect("a version"), vec![1, 2, 3])),
        target: target("amd64"),
        master: true,
        weight: 1,
        priority: 0,
        force: false,
        source_job: None,
        retries_of: None,
    };
    SubmissionRecord {
        request: request(),
        principal: "bench".to_owned(),
        names: Vec::new(),
        idempotency_key: None,
        jobs: vec![job],
    }
}

fn claim() -> Claim {
    Claim {
        client: "bench".parse().expect("a name"),
        boot: "bench".to_owned(),
        claim_id: format!("claim-{:08}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        offers: vec![target("amd64")],
        weights: Vec::new(),
    }
}

async fn open(dir: &std::path::Path) -> Arc<dyn Storage> {
    let url = format!("sqlite://{}", dir.join("farm.db").display());
    let storage =
        pybit_backends::sql::SqliteFactory.open(&Settings::url(url)).await.expect("a database");
    for target in catalogue().targets {
        storage.put_target(&target).await.expect("a target");
    }
    storage
}

fn storage(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let storage = runtime.block_on(open(dir.path()));
    let now = SystemClock.now();
    let mut group = c.benchmark_group("sqlite");
    group.bench_function("record_submission", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            storage.record_submission(&record(), now).await.expect("recorded");
        });
    });
    group.bench_function("submit_and_claim", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            storage.record_submission(&record(), now).await.expect("recorded");
            storage.claim(&claim(), now).await.expect("a claim").expect("a job");
        });
    });
    let log = runtime.block_on(async {
        storage.record_submission(&record(), now).await.expect("recorded");
        let job = storage.claim(&claim(), now).await.expect("a claim").expect("a job");
        let owner = StreamOwner::Attempt { job: job.id, attempt: job.attempt };
        let streams = storage.streams(owner).await.expect("streams");
        streams.into_iter().find(|s| s.role == StreamRole::Log).expect("a log").id
    });
    let end = AtomicU64::new(0);
    group.bench_function("append_log_row", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let offset = end.fetch_add(1000, Ordering::Relaxed);
            let part = NewPart { offset, length: 1000, object: format!("part-{offset}") };
            storage.append_part(log, &part).await.expect("appended");
        });
    });
    group.finish();
    limit(c, dir.path());
}

/// What the disk allows: one small durable write after the other.
fn limit(c: &mut Criterion, dir: &std::path::Path) {
    let mut file = std::fs::File::create(dir.join("limit")).expect("a file");
    c.bench_function("disk/durable_write", |bencher| {
        bencher.iter(|| {
            file.write_all(&[7; 4096]).expect("written");
            file.sync_data().expect("synced");
        });
    });
}

fn farm(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let storage = runtime.block_on(open(dir.path()));
    let transport: Arc<dyn Transport> = Arc::new(MemoryTransport::default());
    let format: Arc<dyn PackageFormat> = Arc::new(DebFormat::default());
    let farm = Farm::new(storage, transport, [format]);
    let who = pybit_core::model::Principal {
        name: "bench".to_owned(),
        grant: pybit_core::model::Grant::of(pybit_core::model::Role::Submit),
    };
    c.bench_function("farm/submit_apt_source", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            farm.submit(&who, request(), None, None).await.expect("submitted");
        });
    });
}

criterion_group!(benches, planning, storage, farm);
criterion_main!(benches);
