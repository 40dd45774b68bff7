//! Signed uploads against the real gpg: which signatures are good, and which keys may sign.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]
#![expect(clippy::disallowed_methods, reason = "the tests sign with the tool that maintainers use")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pybit_backends::deb::DebUploads;
use pybit_backends::exec::{Exec, Supervisor};
use pybit_core::model::FileName;
use pybit_core::upload::{SignedUpload, UploadReader};
use pybit_core::{Error, ErrorKind, Result};

const DSC: &str = include_str!("data/deb/hello_2.10-3.dsc");
const CHANGES: &str = "Format: 1.8
Date: Mon, 23 Nov 2026 10:00:00 +0000
Source: hello
Architecture: source
Version: 2.10-3
Distribution: bookworm
Urgency: medium
Maintainer: Ann <ann@example.org>
Changed-By: Ann <ann@example.org>
Description:
Changes:
 hello (2.10-3) bookworm; urgency=medium
 .
   * A test.
 -dashes at a line's beginning are escaped by the signature
Checksums-Sha256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 hello_2.10-3.dsc
Files:
 d41d8cd98f00b204e9800998ecf8427e 0 devel optional hello_2.10-3.dsc
";

/// Keys that sign, in a directory of their own.
struct Keys {
    home: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("keys-").tempdir().unwrap() }
    }

    fn gpg(&self, args: &[&str]) -> Output {
        let fixed = ["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
        let gpg = Command::new("gpg")
            .env("GNUPGHOME", self.home.path())
            .args(fixed)
            .args(args)
            .output()
            .unwrap();
        assert!(gpg.status.success(), "{args:?}: {}", String::from_utf8_lossy(&gpg.stderr));
        gpg
    }

    /// Makes a key, `more` before the command, and returns its fingerprint.
    fn make(&self, name: &str, more: &[&str], expires: &str) -> String {
        let command = ["--quick-generate-key", name, "ed25519", "sign", expires];
        self.gpg(&[more, &command].concat());
        let listed = self.gpg(&["--with-colons", "--list-keys", name]).stdout;
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|l| l.starts_with("fpr")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// A keyring of these keys, as `gpg --export` writes it.
    fn ring(&self, file: &str, names: &[&str]) -> PathBuf {
        let path = self.home.path().join(file);
        std::fs::write(&path, self.gpg(&[&["--export"], names].concat()).stdout).unwrap();
        path
    }

    fn sign(&self, text: &str, more: &[&str]) -> Vec<u8> {
        let file = self.home.path().join("text");
        std::fs::write(&file, text).unwrap();
        let sign = ["--output", "-", "--clearsign", file.to_str().unwrap()];
        self.gpg(&[more, &sign].concat()).stdout
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let home = self.home.path();
        Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status().ok();
    }
}

fn reader() -> DebUploads {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pybit-supervise"));
    DebUploads::new(Exec::new(Supervisor { program, args: vec![] }, None))
}

async fn verify(bytes: &[u8], ring: &Path) -> Result<SignedUpload> {
    reader().verify(bytes, ring).await
}

fn assert_denied(error: &Error, code: &str, words: &str) {
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, code), "{error}");
    assert!(error.message().contains(words), "{error}");
}

#[tokio::test]
#[ignore = "needs gpg and gpgv"]
async fn an_upload_is_its_signers_and_nobody_elses() {
    let keys = Keys::new();
    let (ann, eve) = (keys.make("ann@a.org", &[], "never"), keys.make("eve@a.org", &[], "never"));
    let both = keys.ring("both.gpg", &["ann@a.org", "eve@a.org"]);
    let (of_ann, of_eve) =
        (keys.ring("anns.gpg", &["ann@a.org"]), keys.ring("eves.gpg", &["eve@a.org"]));
    let signed = keys.sign(CHANGES, &["--local-user", &ann]);
    for ring in [&both, &of_ann] {
        let upload = verify(&signed, ring).await.unwrap();
        assert_eq!(upload.signer.0, ann);
        assert_eq!((upload.package.as_str(), upload.suite.as_str()), ("hello", "bookworm"));
        assert_eq!(upload.source.as_ref().map(FileName::as_str), Some("hello_2.10-3.dsc"));
        assert!(upload.built.is_empty());
    }
    let again = keys.sign(CHANGES, &["--local-user", &ann]);
    let upload = verify(&signed, &both).await.unwrap();
    assert_eq!(upload.digest, verify(&again, &both).await.unwrap().digest);

    let stranger = verify(&signed, &of_eve).await.unwrap_err();
    assert_denied(&stranger, "unknown_key", &format!("the key {ann} is not in the keyring eves"));
    assert_denied(&verify(CHANGES.as_bytes(), &both).await.unwrap_err(), "unsigned", "debsign");
    let two = keys.sign(CHANGES, &["--local-user", &ann, "--local-user", &eve]);
    assert_denied(&verify(&two, &both).await.unwrap_err(), "bad_signature", "exactly one");

    let source = keys.sign(DSC, &["--local-user", &eve]);
    assert_eq!(reader().verify_source(&upload, &source, &both).await.unwrap().0, eve);
    let error = reader().verify_source(&upload, &source, &of_ann).await.unwrap_err();
    assert_denied(&error, "unknown_key", &eve);
    let error = reader().verify_source(&upload, DSC.as_bytes(), &both).await.unwrap_err();
    assert_denied(&error, "unsigned", "the .dsc");
    let other = SignedUpload { version: "2.10-4".parse().unwrap(), ..upload };
    let error = reader().verify_source(&other, &source, &both).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("invalid_dsc", ErrorKind::Invalid));
}

#[tokio::test]
#[ignore = "needs gpg and gpgv"]
async fn what_was_not_signed_is_not_read() {
    let keys = Keys::new();
    let ann = keys.make("ann@a.org", &[], "never");
    let ring = keys.ring("keys.gpg", &["ann@a.org"]);
    let signed = String::from_utf8(keys.sign(CHANGES, &[])).unwrap();
    verify(signed.as_bytes(), &ring).await.unwrap();
    let changed = signed.replace("Distribution: bookworm", "Distribution: trixie");
    assert_denied(
        &verify(changed.as_bytes(), &ring).await.unwrap_err(),
        "bad_signature",
        &format!("{} is wrong", &ann[24..]),
    );
    let inside = signed.replacen("\n\n", "\n\nDistribution: trixie\n", 1);
    let surrounded = [
        format!("Distribution: trixie\n{signed}"),
        format!("\n{signed}"),
        format!("{signed}Distribution: trixie\n"),
        format!("{signed}\n{signed}"),
        signed.replacen("\nHash:", "\nNotDashEscaped: x\nHash:", 1),
        inside,
        signed.lines().take(12).collect::<Vec<_>>().join("\n"),
    ];
    for text in surrounded {
        verify(text.as_bytes(), &ring).await.unwrap_err();
    }
}

#[tokio::test]
#[ignore = "needs gpg and gpgv"]
async fn an_expired_key_and_a_weak_digest_sign_nothing() {
    let keys = Keys::new();
    let then = ["--faked-system-time", "20200101T000000"];
    let old = keys.make("old@a.org", &then, "1d");
    let ring = keys.ring("keys.gpg", &["old@a.org"]);
    let signed = keys.sign(CHANGES, &then);
    let error = verify(&signed, &ring).await.unwrap_err();
    assert_denied(&error, "bad_signature", &old[24..]);
    assert!(error.message().contains("expired"), "{error}");

    let keys = Keys::new();
    keys.gpg(&["--quick-generate-key", "rsa@a.org", "rsa3072", "sign", "never"]);
    let ring = keys.ring("keys.gpg", &["rsa@a.org"]);
    verify(&keys.sign(CHANGES, &[]), &ring).await.unwrap();
    let weak = keys.sign(CHANGES, &["--digest-algo", "SHA1"]);
    assert_eq!(verify(&weak, &ring).await.unwrap_err().code(), "bad_signature");
}
