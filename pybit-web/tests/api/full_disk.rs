//! A disk without space.

#![expect(clippy::disallowed_methods, reason = "mounting is what the test is about")]

use std::path::{Path, PathBuf};
use std::process::Command;

use pybit_core::Policy;
use pybit_core::protocol::Manifest;

use crate::support::{Server, spec};

/// A file system of 1 MiB, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let done = Command::new("mount").args(mount).arg(at).status().unwrap();
        assert!(done.success(), "mount needs root");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
#[ignore = "needs root to mount a tmpfs"]
async fn a_full_disk_is_507_and_nothing_is_lost_when_it_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let _disk = SmallDisk::mount(&disk);
    let server = Server::start_with(dir, disk.join("blobs"), Policy::default()).await;
    let ballast = disk.join("ballast");
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let manifest = Manifest { attempt: 0, files: vec![spec("a.tar", &bytes)] };
    let upload = server.api(&server.submit).declare_upload(&manifest).await.unwrap();
    let path = |offset: usize| format!("/api/v1/uploads/{}/files/a.tar?offset={offset}", upload.id);
    let (first, second) = bytes.split_at(250_000);
    assert_eq!(server.patch(&path(0), &server.submit, first.to_vec()).await.status, 200);
    std::fs::write(&ballast, vec![0; 700_000]).unwrap();
    let full = server.patch(&path(250_000), &server.submit, second.to_vec()).await;
    assert_eq!((full.status, full.code().as_str()), (507, "full"));
    let state = server.api(&server.submit).upload(upload.id).await.unwrap();
    assert_eq!((state[0].length, state[0].complete), (250_000, false), "nothing was taken of it");
    let same = server.patch(&path(0), &server.submit, first.to_vec()).await;
    assert_eq!(same.json()["length"], 250_000, "what was there is there, byte for byte");
    // Room for the piece, and none for the whole beside its pieces: the bytes are kept, making them whole fails.
    std::fs::write(&ballast, vec![0; 400_000]).unwrap();
    let almost = server.patch(&path(250_000), &server.submit, second.to_vec()).await;
    assert_eq!(almost.status, 507);
    let state = server.api(&server.submit).upload(upload.id).await.unwrap();
    assert_eq!((state[0].length, state[0].complete), (400_000, false));
    std::fs::remove_file(&ballast).unwrap();
    let freed = server.patch(&path(400_000), &server.submit, Vec::new()).await;
    assert_eq!((freed.status, freed.json()["length"].as_u64()), (200, Some(400_000)));
    let file = format!("/api/v1/uploads/{}/files/a.tar", upload.id);
    let got = server.send(server.request("GET", &file).bearer_auth(&server.submit)).await;
    assert!(got.bytes[..] == bytes[..]);
    assert!(!server.blobs.join("parts").exists(), "no piece stays behind");
}
