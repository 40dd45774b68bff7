//! A connection that breaks while sources are sent.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::proxy::{Fate, Proxy};
use crate::support::Farm;
use crate::support::http::ask;

/// The command sends files in pieces of 4 MiB, each durable when it is answered.
const PIECE: u64 = 4 << 20;
/// The source: four pieces and a bit.
const SIZE: u64 = 4 * PIECE + 12_345;
/// What requests take besides the bytes of files.
const TALK: u64 = 64 << 10;

/// A source package whose tarball is `SIZE` bytes that nothing makes smaller.
fn source_package(dir: &Path) -> PathBuf {
    let (mut bytes, mut block) = (Vec::new(), Sha256::digest(b"seed"));
    while (bytes.len() as u64) < SIZE {
        block = Sha256::digest(block);
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(usize::try_from(SIZE).unwrap());
    let name = "pybit-big_1.0.tar.xz";
    std::fs::write(dir.join(name), &bytes).unwrap();
    let (sha256, md5) = (hex::encode(Sha256::digest(&bytes)), "0".repeat(32));
    let dsc = format!(
        "Format: 3.0 (native)\nSource: pybit-big\nBinary: pybit-big\nArchitecture: any\nVersion: 1.0\n\
         Maintainer: A Tester <tester@example.org>\nChecksums-Sha256:\n {sha256} {SIZE} {name}\n\
         Files:\n {md5} {SIZE} {name}\n"
    );
    let path = dir.join("pybit-big_1.0.dsc");
    std::fs::write(&path, dsc).unwrap();
    path
}

/// Bytes of the first upload that the server holds.
fn durable(farm: &Farm) -> u64 {
    let bearer = format!("Authorization: Bearer {}", farm.admin_token());
    let answer = ask(&farm.address(), "GET", "/api/v1/uploads/1", &[&bearer], b"");
    let files: Value = serde_json::from_str(&answer.body).unwrap();
    files.as_array().unwrap().iter().map(|f| f["length"].as_u64().unwrap()).sum()
}

fn submitting(farm: &Farm, proxy: &Proxy, dsc: &Path) -> Child {
    let words =
        ["--url", &proxy.url(), "submit", dsc.to_str().unwrap(), "--suite", "bookworm", "--json"];
    let mut command = farm.command(&words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The command tries again by itself; and where it was ended instead, the same command goes on from the same place. Neither
/// sends again what the server holds, and the job is planned.
#[test]
fn upload_that_broke_off_goes_on_where_it_broke_off() {
    let farm = Farm::new("");
    let _web = farm.web();
    let proxy = Proxy::to(farm.address());
    let dsc = source_package(farm.path());
    let total = SIZE + std::fs::metadata(&dsc).unwrap().len();

    proxy.set(Fate::CutAfter(PIECE * 3 / 2));
    let mut first = submitting(&farm, &proxy, &dsc);
    proxy.wait_cut();
    let held = durable(&farm);
    assert!((PIECE..2 * PIECE).contains(&held), "half of it broke off: {held}");
    // The command itself goes on over a new connection, until that breaks too.
    proxy.set(Fate::CutAfter(PIECE * 3 / 2));
    proxy.wait_cut();
    let more = durable(&farm);
    assert!(more >= held + PIECE, "it went on at {held}: {more}");
    first.kill().unwrap();
    first.wait().unwrap();

    proxy.set(Fate::Pass);
    let done = submitting(&farm, &proxy, &dsc).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let rest = total - more;
    let sent = proxy.sent();
    assert!((rest..rest + TALK).contains(&sent), "{rest} bytes were missing, {sent} were sent");
    let reply: Value = serde_json::from_slice(&done.stdout).unwrap();
    let job = &reply["jobs"][0];
    assert_eq!((&job["kind"], &job["status"]), (&"binary".into(), &"Waiting".into()), "{reply}");
    assert_eq!(durable(&farm), total);
    assert_eq!(farm.jobs("").as_array().unwrap().len(), 1);
}
