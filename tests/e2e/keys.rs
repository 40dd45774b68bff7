//! OpenPGP keys of maintainers, in a directory of their own, and the programs that work with them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Keys that sign.
pub(crate) struct Keys {
    home: tempfile::TempDir,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("pybit-keys-").tempdir().unwrap() }
    }

    /// A program that finds these keys; its home is theirs.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("GNUPGHOME", self.path()).env("HOME", self.path());
        command
    }

    fn gpg(&self, args: &[&str]) -> Vec<u8> {
        let fixed = ["--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
        let gpg = self.command("gpg").args(fixed).args(args).output().unwrap();
        assert!(gpg.status.success(), "{args:?}: {}", String::from_utf8_lossy(&gpg.stderr));
        gpg.stdout
    }

    /// Makes a key and returns its fingerprint.
    pub(crate) fn make(&self, name: &str) -> String {
        self.gpg(&["--quick-generate-key", name, "ed25519", "sign", "never"]);
        let listed = self.gpg(&["--with-colons", "--list-keys", name]);
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|l| l.starts_with("fpr")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// A keyring of one key, as `gpg --export` writes it.
    pub(crate) fn ring(&self, file: &str, key: &str) -> PathBuf {
        let path = self.path().join(file);
        std::fs::write(&path, self.gpg(&["--export", key])).unwrap();
        path
    }

    /// Signs a `.changes` and its `.dsc`, as maintainers do.
    pub(crate) fn debsign(&self, key: &str, changes: &Path) {
        let debsign =
            self.command("debsign").args(["--re-sign", "-k", key]).arg(changes).output().unwrap();
        assert!(debsign.status.success(), "{}", String::from_utf8_lossy(&debsign.stderr));
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.command("gpgconf").args(["--kill", "all"]).status().ok();
    }
}
