//! Uploads: source packages handed over, packed trees unpacked, hostile ones refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use pybit_backends::exec::Exec;
use pybit_backends::source::{UploadConfig, UploadFetcher};
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, SourceFetcher};
use pybit_core::model::{Source, UploadId};
use pybit_core::{ErrorKind, Result};
use tar::{Builder, EntryType, Header};

use crate::support::{self, MemoryLog, open_dir, supervisor, target, users_dir};

async fn fetch(dir: &Path, main: &str) -> Result<Fetched> {
    fetch_as(Exec::new(supervisor(), None), dir, main).await
}

async fn fetch_as(exec: Exec, dir: &Path, main: &str) -> Result<Fetched> {
    let config = UploadConfig { max_bytes: 1 << 20, max_entries: 100 };

    let into = dir.join("source");
    if into.exists() {
        fs::remove_dir_all(&into).unwrap();
    }
    users_dir(&into, &exec);
    let fetcher = UploadFetcher::new(config, exec);
    let source = Source::Upload { upload: UploadId(1), main: main.parse().unwrap() };
    let request = FetchRequest {
        source: &source,
        target: &target("source", "sbuild"),
        inbox: &dir.join("inbox"),
        into: &into,
    };
    fetcher.fetch(&request, &MemoryLog::default()).await
}

/// Entries as no honest packer writes them: names and link targets go in unchecked.
struct Packer(Builder<Vec<u8>>);

impl Default for Packer {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Packer {
    fn entry(mut self, kind: EntryType, name: &str, link: &str, data: &[u8], mode: u32) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", data, 0o644)
    }

    fn symlink(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, name, to, b"", 0o777)
    }

    fn write(self, dir: &Path) {
        let packed = zstd::encode_all(&self.0.into_inner().unwrap()[..], 1).unwrap();
        fs::create_dir_all(dir.join("inbox")).unwrap();
        fs::write(dir.join("inbox/x.tar.zst"), packed).unwrap();
    }
}

#[tokio::test]
async fn a_source_package_is_handed_over_with_its_files() {
    let dir = open_dir();
    fs::create_dir(dir.path().join("inbox")).unwrap();
    for name in ["x_1.dsc", "x_1.tar.xz"] {
        fs::write(dir.path().join("inbox").join(name), name).unwrap();
    }
    let fetched = fetch(dir.path(), "x_1.dsc").await.unwrap();
    assert_eq!(fetched.kind, FetchedKind::Package(dir.path().join("source/x_1.dsc")));
    assert_eq!(fs::read(dir.path().join("source/x_1.tar.xz")).unwrap(), b"x_1.tar.xz");
    let error = fetch(dir.path(), "y_1.dsc").await.unwrap_err();
    assert_eq!(error.code(), "source_not_found");
}

#[tokio::test]
#[ignore = "needs the user pybit-build"]
async fn a_packed_tree_is_unpacked_with_modes_and_links_by_the_build_user() {
    let (dir, exec) = (open_dir(), support::exec());
    let owner = exec.user().map_or_else(nix::unistd::geteuid, |u| u.uid);
    Packer::default()
        .entry(EntryType::Directory, "./", "", b"", 0o700)
        .entry(EntryType::Regular, "./debian/rules", "", b"#!", 0o4777)
        .file("src/deep/a.c", b"a")
        .symlink("src/link", "../debian/rules")
        .entry(EntryType::Link, "b.c", "src/deep/a.c", b"", 0o644)
        .write(dir.path());
    let fetched = fetch_as(exec, dir.path(), "x.tar.zst").await.unwrap();
    let tree = dir.path().join("source/tree");
    assert_eq!(fetched.kind, FetchedKind::Tree(tree.clone()));
    assert_eq!(fs::metadata(tree.join("src/link")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(tree.join("b.c")).unwrap(), b"a");
    assert_eq!(fs::metadata(tree.join("b.c")).unwrap().uid(), owner.as_raw());
}

#[tokio::test]
async fn hostile_trees_are_refused_and_leave_nothing_outside() {
    let dir = open_dir();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let packer = Packer::default;
    let cases = [
        packer().file("../outside/x", b"x"),
        packer().file(&format!("{}/x", outside.display()), b"x"),
        packer().file("a/../../outside/x", b"x"),
        packer().symlink("l", "../../outside").file("l/x", b"x"),
        packer().symlink("l", "/etc/passwd"),
        packer().symlink("l", "d/../../.."),
        packer().symlink("d/l", "..").symlink("m", "d/l/.."),
        packer().symlink("l", "d").file("d/y", b"y").file("l/x", b"x"),
        packer().symlink("f", "g").file("f", b"x"),
        packer().entry(EntryType::Link, "h", "../../outside/../inbox/x.tar.zst", b"", 0o644),
        packer().symlink("l", "g").entry(EntryType::Link, "h", "l", b"", 0o644),
        packer().entry(EntryType::Char, "null", "", b"", 0o666),
        packer().entry(EntryType::Fifo, "fifo", "", b"", 0o666),
        packer().file("big", &vec![0; 2 << 20]),
        packer().entry(EntryType::GNULongName, "././@LongLink", "", &vec![b'x'; 200_000], 0o644),
        (0..200).fold(packer(), |p, n| p.file(&format!("f{n}"), b"")),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        case.write(dir.path());
        let error = fetch(dir.path(), "x.tar.zst").await.expect_err(&format!("case {n}"));
        assert_eq!(error.kind(), ErrorKind::Invalid, "case {n}: {error}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "case {n}");
    }
    fs::write(dir.path().join("inbox/x.tar.zst"), b"no archive").unwrap();
    assert_eq!(fetch(dir.path(), "x.tar.zst").await.unwrap_err().code(), "invalid_source");
}
