//! A small archive, made and signed by the real tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use pybit_backends::archive::{ArchiveNames, NamesConfig};
use pybit_backends::exec::{Exec, Supervisor};
use pybit_core::base::BaseSuite;
use pybit_core::clock::{ManualClock, Timestamp};
use sha2::{Digest, Sha256};

pub(crate) fn exec() -> Exec {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pybit-supervise"));
    Exec::new(Supervisor { program, args: Vec::new() }, None)
}

pub(crate) fn suite() -> BaseSuite {
    BaseSuite {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        format: "deb".parse().unwrap(),
        arch: "amd64".parse().unwrap(),
    }
}

pub(crate) fn run(argv: &[&str], cwd: &Path) -> Vec<u8> {
    let output = Command::new(argv[0]).args(&argv[1..]).current_dir(cwd).output().unwrap();
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn sha256(text: &str) -> String {
    sha256_of(text.as_bytes())
}

pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A source description without a file besides it.
pub(crate) fn dsc(package: &str, version: &str) -> String {
    let tarball = format!("{package}_{version}.tar.xz");
    format!(
        "Format: 3.0 (native)\nSource: {package}\nBinary: {package}\nArchitecture: any\nVersion: {version}\n\
         Maintainer: T <t@example.org>\nChecksums-Sha256:\n {} 1 {tarball}\nFiles:\n {:032x} 1 {tarball}\n",
        sha256("x"),
        1
    )
}

/// A small archive with its key.
pub(crate) struct Archive {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-names-").tempdir().unwrap();
        for made in ["gpg", "archive"] {
            std::fs::create_dir(dir.path().join(made)).unwrap();
        }
        run(&["chmod", "755", "."], dir.path());
        run(&["chmod", "700", "gpg"], dir.path());
        let archive = Self {
            dir,
            clock: Arc::new(ManualClock::at(Timestamp::from_micros(1_790_000_000_000_000))),
        };
        archive.make_key("archive@example.org");
        archive.gpg(&["--output", "key.gpg", "--export", "archive@example.org"]);
        archive.write("1.0", "archive@example.org");
        archive
    }

    pub(crate) fn gpg(&self, args: &[&str]) {
        let fixed = ["gpg", "--homedir", "gpg", "--batch", "--yes", "--passphrase", ""];
        run(&[&fixed[..], args].concat(), self.dir.path());
    }

    pub(crate) fn make_key(&self, of: &str) {
        self.gpg(&["--quick-generate-key", of, "ed25519", "sign"]);
    }

    /// Writes the archive with `make-dfsg` in this version, signed by a key.
    pub(crate) fn write(&self, version: &str, key: &str) {
        let at = self.dir.path().join("archive");
        let packages = format!(
            "Package: make\nSource: make-dfsg\nVersion: {version}\nArchitecture: amd64\nProvides: make-virtual\nFilename: ./make.deb\nSize: 1\nSHA256: {}\n",
            sha256("deb")
        );
        let sources = format!(
            "Package: make-dfsg\nBinary: make, make-guile\nVersion: {version}\nFormat: 3.0 (native)\nDirectory: .\nChecksums-Sha256:\n {} 1 make-dfsg_{version}.dsc\n",
            sha256(&dsc("make-dfsg", version))
        );
        std::fs::write(at.join("Packages"), packages).unwrap();
        std::fs::write(at.join("Sources"), sources).unwrap();
        let _ = std::fs::remove_file(at.join("InRelease"));
        let release = run(&["apt-ftparchive", "release", "."], &at);
        std::fs::write(self.dir.path().join("Release"), release).unwrap();
        let out = ["--local-user", key, "--output", "archive/InRelease", "--clear-sign", "Release"];
        self.gpg(&out);
    }

    pub(crate) fn names(&self, config: &NamesConfig) -> ArchiveNames {
        let at = self.dir.path().display();
        let line = format!("deb [signed-by={at}/key.gpg] file://{at}/archive ./");
        let config = NamesConfig {
            mirror: [("bookworm".parse().unwrap(), vec![line])].into(),
            ..config.clone()
        };
        let names = ArchiveNames::new(config, self.dir.path().join("names"), None, exec());
        names.with_clock(Arc::clone(&self.clock) as _)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        run(&["gpgconf", "--homedir", "gpg", "--kill", "all"], self.dir.path());
    }
}
