//! Version comparison: pybit's own orders, with libdpkg, librpm and Python's `packaging` beside them in the same run.
//!
//! What is measured: comparisons of pairs of real versions, parsed each time, and building sort keys. The rivals are small C
//! programs over the formats' own libraries (`rivals/`, need `libdpkg-dev` and `librpm-dev`, which `make bench` installs): compiled
//! here, they do the same rounds and say how long they took. So does a Python program over `packaging` (`python3-packaging`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pybit_backends::deb::DebVersions;
use pybit_backends::python::PythonVersions;
use pybit_backends::rpm::RpmVersions;
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

/// Versions as a distribution of RPMs has them: releases, epochs, tildes, carets, long snapshots.
const RPM_VERSIONS: [&str; 16] = [
    "2.12.1-4.fc40",
    "1:4.15.1-3.el9",
    "0~20220115git.c7a4ff0-2.fc39",
    "1.7.1-7.fc40",
    "2:9.1.083-1.fc40",
    "14.0.1-0.15.fc40",
    "3.2.1-2.fc40",
    "1.21.1^20240101gitabc-1",
    "2023.2.60_v7.0.306-3.fc40",
    "4.20.0~rc6-1.el9",
    "9e-1.fc40",
    "0.1.0-0.1.alpha.el9",
    "1.3.1.zlib_ng-2.fc40",
    "6.8.5-301.fc40",
    "5.38.2-506.fc40",
    "2.39-6.fc40",
];

/// Versions as Python's index has them: epochs, candidates, post and development releases, local builds, calendars.
const PYTHON_VERSIONS: [&str; 16] = [
    "2.31.0",
    "1.0rc1",
    "2023.12.25",
    "1!4.0.0",
    "0.1.dev12+g1a2b3c4",
    "3.0.0b3",
    "1.26.4.post1",
    "66.1.1",
    "v1.0.0",
    "5.0a1.dev20240131",
    "1.2.3+local.7",
    "0.0.1",
    "22.3.1",
    "4.9.3.0",
    "10.0.0-rc.2",
    "2.0.0",
];

fn versions(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory for the rivals");
    let deb = Rival { name: "libdpkg", libraries: &["-ldpkg", "-lmd"] };
    let rpm = Rival { name: "librpm", libraries: &["-lrpm", "-lrpmio"] };
    order(c, "deb_versions", &DebVersions, VERSIONS, &deb.compiled(dir.path()));
    order(c, "rpm_versions", &RpmVersions, RPM_VERSIONS, &rpm.compiled(dir.path()));
    order(c, "python_versions", &PythonVersions, PYTHON_VERSIONS, &packaging());
}

fn order(
    c: &mut Criterion,
    group: &str,
    order: &dyn VersionOrder,
    versions: [&str; 16],
    rival: &Program,
) {
    let pairs: Vec<_> =
        versions.iter().flat_map(|a| versions.iter().map(move |b| (*a, *b))).collect();
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(pairs.len() as u64));
    group.bench_function("compare", |bencher| {
        bencher.iter(|| {
            for (a, b) in &pairs {
                black_box(order.compare(black_box(a), black_box(b))).expect("valid versions");
            }
        });
    });
    group.bench_function(format!("compare_by_{}", rival.name), |bencher| {
        bencher.iter_custom(|rounds| rounds_of(rival, &versions, rounds));
    });
    group.throughput(Throughput::Elements(versions.len() as u64));
    group.bench_function("key", |bencher| {
        bencher.iter(|| {
            for version in versions {
                black_box(order.key(black_box(version))).expect("valid versions");
            }
        });
    });
    group.finish();
}

/// A small C program over a format's own library.
struct Rival {
    name: &'static str,
    libraries: &'static [&'static str],
}

impl Rival {
    /// The program, compiled into `dir`.
    fn compiled(&self, dir: &Path) -> Program {
        let program = dir.join(self.name);
        let source = format!("{}/benches/rivals/{}.c", env!("CARGO_MANIFEST_DIR"), self.name);
        let out = program.to_str().expect("a path of text");
        started("cc", &[&["-O2", "-o", out, source.as_str()], self.libraries].concat());
        Program { name: self.name, path: program, first: Vec::new() }
    }
}

/// Debian's own Python, which has `packaging`; whatever else is called python3 may not.
fn packaging() -> Program {
    let script = format!("{}/benches/rivals/packaging.py", env!("CARGO_MANIFEST_DIR"));
    let first = vec!["-I".to_owned(), script];
    Program { name: "packaging", path: PathBuf::from("/usr/bin/python3"), first }
}

/// A rival that can be started: its first arguments, then rounds and versions.
struct Program {
    name: &'static str,
    path: PathBuf,
    first: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "a benchmark starts its rival")]
fn started(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    let output = std::process::Command::new(program.as_ref()).args(args).output();
    let output = output.expect("the program can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "are libdpkg-dev, librpm-dev and python3-packaging installed (make bench)? {complaint}"
    );
    String::from_utf8(output.stdout).expect("text")
}

fn rounds_of(rival: &Program, versions: &[&str], rounds: u64) -> Duration {
    let rounds = rounds.to_string();
    let first = rival.first.iter().map(String::as_str);
    let args: Vec<&str> = first.chain([rounds.as_str()]).chain(versions.iter().copied()).collect();
    Duration::from_nanos(started(&rival.path, &args).trim().parse().expect("nanoseconds"))
}

criterion_group!(benches, versions);
criterion_main!(benches);
