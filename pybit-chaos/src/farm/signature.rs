//! The outside reader's look at the signature of an index: by gpgv, with the key that the repository showed first.

use std::path::{Path, PathBuf};

use super::process::tool;

/// A keyring of the reader's own.
#[derive(Debug)]
pub(crate) struct Keyring {
    file: PathBuf,
    /// The key as it was first seen: another one would be another repository.
    key: Option<String>,
}

impl Keyring {
    /// The keyring is kept in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { file: dir.join("reader.gpg"), key: None }
    }

    /// Whether `Release` in `dist` is what the holder of the key in `site` has signed, in both forms.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub(crate) fn check(&mut self, site: &Path, dist: &Path) -> Result<(), String> {
        let shown = site.join("pybit.asc");
        let key = std::fs::read_to_string(&shown).map_err(|e| format!("there is no key: {e}"))?;
        match &self.key {
            Some(known) if *known != key => {
                return Err("the repository shows another key".to_owned());
            }
            Some(_) => {}
            None => {
                let (file, shown) = (self.file.display().to_string(), shown.display().to_string());
                tool(&["gpg", "--batch", "--yes", "--output", &file, "--dearmor", &shown])?;
                self.key = Some(key);
            }
        }
        let path = |name: &str| dist.join(name).display().to_string();
        let (release, inline, detached) = (path("Release"), path("InRelease"), path("Release.gpg"));
        let keyring = self.file.display().to_string();
        let verify = |files: &[&str]| tool(&[&["gpgv", "--keyring", &keyring], files].concat());
        let said = verify(&["--output", "-", &inline])?;
        verify(&[&detached, &release])?;
        let text = std::fs::read_to_string(&release).map_err(|e| e.to_string())?;
        if said.trim_end() == text.trim_end() {
            return Ok(());
        }
        Err("InRelease says something else than Release".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signed index, as a publisher leaves it.
    fn signed(dir: &Path) {
        let home = dir.join("home");
        std::fs::create_dir(&home).unwrap();
        let home = home.display().to_string();
        let gpg = |words: &[&str]| {
            let fixed = ["gpg", "--homedir", &home, "--batch", "--yes", "--passphrase", ""];
            tool(&[&fixed, words].concat()).unwrap()
        };
        gpg(&["--quick-generate-key", "chaos", "ed25519", "sign", "never"]);
        std::fs::write(dir.join("Release"), "Suite: sid\nSHA256:\n abc 1 Packages\n").unwrap();
        let path = |name: &str| dir.join(name).display().to_string();
        gpg(&["--output", &path("pybit.asc"), "--armor", "--export"]);
        gpg(&["--output", &path("InRelease"), "--clearsign", &path("Release")]);
        gpg(&["--output", &path("Release.gpg"), "--detach-sign", &path("Release")]);
    }

    #[test]
    #[ignore = "needs gpg and gpgv"]
    fn what_was_changed_after_it_was_signed_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        signed(dir);
        let mut keyring = Keyring::new(dir);
        keyring.check(dir, dir).unwrap();
        let release = std::fs::read_to_string(dir.join("Release")).unwrap();
        std::fs::write(dir.join("Release"), release.replace("abc", "abd")).unwrap();
        assert!(keyring.check(dir, dir).is_err(), "a changed Release");
        std::fs::write(dir.join("Release"), &release).unwrap();
        let inline = std::fs::read_to_string(dir.join("InRelease")).unwrap();
        std::fs::write(dir.join("InRelease"), inline.replace("abc", "abd")).unwrap();
        assert!(keyring.check(dir, dir).is_err(), "a changed InRelease");
        std::fs::write(dir.join("InRelease"), &inline).unwrap();
        keyring.check(dir, dir).unwrap();
        std::fs::write(dir.join("pybit.asc"), "another").unwrap();
        assert!(keyring.check(dir, dir).is_err(), "another key");
    }
}
