//! Source packages of the real Debian archive.

use std::fs;
use std::path::Path;

use pybit_backends::source::{AptConfig, AptFetcher};
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, SourceFetcher};
use pybit_core::{ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::support::{self, MemoryLog, open_dir, target, users_dir};

async fn fetch(
    fetcher: &AptFetcher,
    source: &str,
    into: &Path,
    log: &MemoryLog,
) -> Result<Fetched> {
    users_dir(into, &support::exec());
    let request = FetchRequest {
        source: &source.parse().unwrap(),
        target: &target("source", "sbuild"),
        inbox: into,
        into,
    };
    fetcher.fetch(&request, log).await
}

#[tokio::test]
#[ignore = "needs the Debian archive and the user pybit-build"]
async fn a_source_package_arrives_whole_and_what_the_archive_lacks_is_not_found() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let apt = AptFetcher::new(AptConfig::new(dir.path().join("cache")), support::exec());
    let into = dir.path().join("hello");
    let fetched = fetch(&apt, "apt:hello", &into, &log).await.unwrap();
    let FetchedKind::Package(main) = &fetched.kind else { panic!("{fetched:?}") };
    assert_eq!(main, &into.join(format!("hello_{}.dsc", fetched.resolved)));
    let text = fs::read_to_string(main).unwrap();
    for name in ["orig.tar.gz", "debian.tar.xz"] {
        let listed = text.lines().find(|l| l.ends_with(name)).unwrap();
        let mut words = listed.split_whitespace().skip(1);
        let size: u64 = words.next().unwrap().parse().unwrap();
        assert_eq!(fs::metadata(into.join(words.next().unwrap())).unwrap().len(), size);
    }
    let exact = format!("apt:hello={}", fetched.resolved);
    let again = fetch(&apt, &exact, &dir.path().join("again"), &log).await.unwrap();
    assert_eq!(again.resolved, fetched.resolved);
    for missing in ["apt:hello=99-1", "apt:no-such-package", "apt:libc6"] {
        let error = fetch(&apt, missing, &dir.path().join("none"), &log).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, "source_not_found"),
            "{error}"
        );
    }
}

#[tokio::test]
#[ignore = "needs apt and the user pybit-build"]
async fn a_mirror_that_does_not_answer_or_is_not_signed_is_no_fault_of_the_source() {
    let dir = open_dir();
    let release = dir.path().join("unsigned/dists/bookworm");
    fs::create_dir_all(&release).unwrap();
    fs::write(release.join("Release"), "Suite: bookworm\nComponents: main\n").unwrap();
    let unsigned = format!("deb file://{} bookworm main", dir.path().join("unsigned").display());
    let dead = "deb http://127.0.0.1:9/debian bookworm main".to_owned();
    for (n, mirror) in [unsigned, dead].into_iter().enumerate() {
        let log = MemoryLog::default();
        let mut config = AptConfig::new(dir.path().join(format!("cache{n}")));
        config.mirror = Some(vec![mirror]);
        let fetcher = AptFetcher::new(config, support::exec());
        let error = fetch(&fetcher, "apt:hello", &dir.path().join("into"), &log).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

/// An archive whose index names two versions of a package, and whose pool has the files of the older one alone.
fn archive_behind_its_index(dir: &Path) -> String {
    let older = "Format: 3.0 (native)\nSource: demo\nVersion: 1.0\n";
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("demo_1.0.dsc"), older).unwrap();
    let stanza = |version: &str, sha256: &str| {
        format!(
            "Package: demo\nBinary: demo\nVersion: {version}\nArchitecture: all\nFormat: 3.0 (native)\nDirectory: .\n\
             Checksums-Sha256:\n {sha256} {} demo_{version}.dsc\n\n",
            older.len()
        )
    };
    let index =
        stanza("1.0", &hex::encode(Sha256::digest(older))) + &stanza("1.1", &"0".repeat(64));
    fs::write(dir.join("Sources"), index).unwrap();
    format!("deb [trusted=yes] file://{} ./", dir.display())
}

#[tokio::test]
#[ignore = "needs apt and the user pybit-build"]
async fn a_version_that_the_index_names_and_the_pool_lacks_gives_way_to_the_next_older_one() {
    let (dir, log) = (open_dir(), MemoryLog::default());
    let mut config = AptConfig::new(dir.path().join("cache"));
    config.mirror = Some(vec![archive_behind_its_index(&dir.path().join("archive"))]);
    let apt = AptFetcher::new(config, support::exec());
    let into = dir.path().join("into");
    let fetched = fetch(&apt, "apt:demo", &into, &log).await.unwrap();
    assert_eq!(fetched.resolved, "1.0");
    assert!(log.text().contains("names demo=1.1, and the archive does not have its files"));
    let exact = fetch(&apt, "apt:demo=1.1", &dir.path().join("exact"), &log).await.unwrap_err();
    assert_eq!(
        (exact.kind(), exact.code()),
        (ErrorKind::Unavailable, "source_not_in_pool"),
        "who asks for a version gets no other: {exact}"
    );
}
