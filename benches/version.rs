//! Debian version comparison: pybit's own order, with libdpkg's verdict beside it in the same run.
//!
//! What is measured: comparisons of pairs of real versions, parsed each time, and building sort keys. The rival is a
//! small C program over Debian's libdpkg (`rivals/libdpkg.c`, needs `libdpkg-dev`, which `make bench` installs): compiled
//! here, it does the same rounds and says how long they took.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pybit_backends::deb::DebVersions;
use pybit_core::version::VersionOrder;
use std::hint::black_box;

/// Versions as the archive has them: epochs, tildes, binary rebuilds, long snapshots.
const VERSIONS: [&str; 16] = [
    "2.10-3",
    "1:4.13+dfsg1-1+b1",
    "0.0~git20220115.c7a4ff0-2",
    "1.6-2.1",
    "2:8.39-15",
    "12.2.0-14+deb12u1",
    "3.0.16-1~deb12u1",
    "1.18.4-2.1+deb12u1",
    "20230311+deb12u1",
    "4.19.0~rc6+ds-1",
    "9e-1",
    "0.1.0-0ubuntu1~22.04.1",
    "1:1.2.13.dfsg-1",
    "6.1.140-1",
    "5.36.0-7+deb12u2",
    "2.36-9+deb12u10",
];

fn versions(c: &mut Criterion) {
    let pairs: Vec<_> =
        VERSIONS.iter().flat_map(|a| VERSIONS.iter().map(move |b| (*a, *b))).collect();
    let mut group = c.benchmark_group("deb_versions");
    group.throughput(Throughput::Elements(pairs.len() as u64));
    group.bench_function("compare", |bencher| {
        bencher.iter(|| {
            for (a, b) in &pairs {
                black_box(DebVersions.compare(black_box(a), black_box(b))).expect("valid versions");
            }
        });
    });
    let dir = tempfile::tempdir().expect("a directory for the rival");
    let rival = libdpkg(dir.path());
    group.bench_function("compare_by_libdpkg", |bencher| {
        bencher.iter_custom(|rounds| rounds_of(&rival, rounds));
    });
    group.throughput(Throughput::Elements(VERSIONS.len() as u64));
    group.bench_function("key", |bencher| {
        bencher.iter(|| {
            for version in VERSIONS {
                black_box(DebVersions.key(black_box(version))).expect("valid versions");
            }
        });
    });
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark starts its rival")]
fn started(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    let output = std::process::Command::new(program.as_ref()).args(args).output();
    let output = output.expect("the program can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "is libdpkg-dev installed (make bench)? {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// The rival, compiled into `dir`.
fn libdpkg(dir: &Path) -> std::path::PathBuf {
    let program = dir.join("libdpkg-bench");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rivals/libdpkg.c");
    let out = program.to_str().expect("a path of text");
    started("cc", &["-O2", "-o", out, source, "-ldpkg", "-lmd"]);
    program
}

fn rounds_of(rival: &Path, rounds: u64) -> Duration {
    let rounds = rounds.to_string();
    let args: Vec<&str> = std::iter::once(rounds.as_str()).chain(VERSIONS).collect();
    Duration::from_nanos(started(rival, &args).trim().parse().expect("nanoseconds"))
}

criterion_group!(benches, versions);
criterion_main!(benches);
