//! What `pybit submit` refuses before anything is sent. The server that is named does not exist: a refusal that speaks of it
//! came too late.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::Lone;

const NOWHERE: &str = "http://127.0.0.1:1";

fn submit(pybit: &Lone, source: &str) -> String {
    let line = pybit.refused(&["--url", NOWHERE, "submit", source, "--suite", "bookworm"]);
    assert!(!line.contains("127.0.0.1"), "it was sent: {line}");
    line
}

/// Writes a whole source package: a `.dsc` and its tarball.
fn package(dir: &Path, tarball: &[u8]) {
    std::fs::write(dir.join("hello_1.0.tar.xz"), tarball).unwrap();
    describe(dir, "hello_1.0.tar.xz", tarball);
}

fn describe(dir: &Path, name: &str, content: &[u8]) {
    let (size, sha256) = (content.len(), hex::encode(Sha256::digest(content)));
    let text = format!(
        "Format: 3.0 (native)\nSource: hello\nBinary: hello\nArchitecture: any\nVersion: 1.0\n\
         Maintainer: A Tester <tester@example.org>\n\
         Checksums-Sha256:\n {sha256} {size} {name}\nFiles:\n {md5} {size} {name}\n",
        md5 = "0".repeat(32),
    );
    std::fs::write(dir.join("hello_1.0.dsc"), text).unwrap();
}

#[test]
fn a_whole_source_package_is_sent() {
    let pybit = Lone::new();
    package(pybit.path(), b"content");
    let line = pybit.refused(&["--url", NOWHERE, "submit", "hello_1.0.dsc", "--suite", "bookworm"]);
    assert!(line.contains("127.0.0.1:1"), "nothing was wrong with it: {line}");
}

#[test]
fn a_missing_a_truncated_and_a_changed_file_are_each_named() {
    let pybit = Lone::new();
    package(pybit.path(), b"content");
    let tarball = pybit.path().join("hello_1.0.tar.xz");
    std::fs::write(&tarball, b"CONTENT").unwrap();
    let line = submit(&pybit, "hello_1.0.dsc");
    assert!(line.contains("hello_1.0.tar.xz") && line.contains("SHA-256"), "{line}");
    std::fs::write(&tarball, b"conte").unwrap();
    let line = submit(&pybit, "hello_1.0.dsc");
    assert!(line.contains("hello_1.0.tar.xz has 5 bytes") && line.contains("says 7"), "{line}");
    std::fs::remove_file(&tarball).unwrap();
    let line = submit(&pybit, "hello_1.0.dsc");
    assert!(line.contains("hello_1.0.tar.xz") && line.contains("not beside it"), "{line}");
}

#[test]
fn a_description_cannot_name_files_elsewhere() {
    let pybit = Lone::new();
    let inner = pybit.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(pybit.path().join("hello_1.0.tar.xz"), b"content").unwrap();
    for name in
        ["../hello_1.0.tar.xz", "/etc/passwd", "hello_1.0.tar.xz/../x", ".", "other_1.0.tar.xz"]
    {
        describe(&inner, name, b"content");
        submit(&pybit, "inner/hello_1.0.dsc");
    }
}

#[test]
fn what_is_no_source_is_refused_with_what_a_source_is() {
    let pybit = Lone::new();
    std::fs::create_dir(pybit.path().join("empty")).unwrap();
    std::fs::write(pybit.path().join("file.txt"), "text").unwrap();
    std::fs::write(pybit.path().join("bad_1.0.dsc"), "\u{1b}[2J: no\n").unwrap();
    for (source, part) in [
        ("empty", "debian/control"),
        ("file.txt", ".dsc"),
        ("nowhere", "there is no file or directory nowhere"),
        ("nowhere_1.0.dsc", "nowhere_1.0.dsc"),
        ("bad_1.0.dsc", "bad_1.0.dsc"),
        ("git+ext::sh -c id", "git URL"),
        ("git+https://user:pw@example.org/x.git", "user name or password"),
        ("git+https://example.org/x.git#--upload-pack=id", "reference"),
        ("apt:", "package"),
        ("apt:hello=1;id", "version"),
    ] {
        let line = submit(&pybit, source);
        assert!(line.contains(part) && !line.contains('\u{1b}'), "{source}: {line}");
    }
}
