//! The signing key, and signatures, with `gpg`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pybit_core::clock::Timestamp;
use pybit_core::{Error, Result};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::format_description;

use super::tool::{Done, Tool};
use super::{error, files};

/// The one use of a key directory at a time.
///
/// gpg works in a temporary home: gpg-agent's socket lies in the home, and a socket's path holds at most 108 bytes. Each run
/// of gpg starts an agent of its own, which ends with the run: the supervisor leaves no daemon. The next one finds a socket
/// that nobody answers, and takes its place.
#[derive(Debug)]
pub(super) struct Gpg<'a> {
    tool: &'a dyn Tool,
    home: TempDir,
    keys: PathBuf,
}

const RING: &str = "pubring.kbx";
const SECRET: &str = "private-keys-v1.d";
const PREFIX: &str = "pybit-gpg-";

impl<'a> Gpg<'a> {
    /// Opens the key directory `keys`, made at need; the caller holds the repository's lock.
    pub(super) fn open(tool: &'a dyn Tool, keys: &Path) -> Result<Self> {
        for dir in [keys.to_owned(), keys.join(SECRET)] {
            files::directory(&dir)?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
                .map_err(|e| error::io("protect", &dir, e))?;
        }
        remove_home(keys)?;
        let home = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|e| error::io("create", &std::env::temp_dir(), e))?;
        files::write(&session(keys), home.path().as_os_str().as_bytes())?;
        let secret = home.path().join(SECRET);
        symlink(keys.join(SECRET), &secret).map_err(|e| error::io("create", &secret, e))?;
        if keys.join(RING).exists() {
            fs::copy(keys.join(RING), home.path().join(RING))
                .map_err(|e| error::io("copy", &keys.join(RING), e))?;
        }
        Ok(Self { tool, home, keys: keys.to_owned() })
    }

    async fn gpg(&self, what: &str, args: &[&str]) -> Result<Done> {
        let home = self.home.path().display().to_string();
        let fixed = ["gpg", "--homedir", &home, "--batch", "--no-tty", "--yes"];
        let unattended =
            ["--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"];
        let words: Vec<_> =
            fixed.iter().chain(&unattended).chain(args).map(ToString::to_string).collect();
        let done = self.tool.run(&words, self.home.path(), &BTreeMap::new()).await?;
        if done.code == 0 { Ok(done) } else { Err(error::tool("gpg", what, &done)) }
    }

    /// Removes the temporary home.
    pub(super) fn close(self) -> Result<()> {
        remove_home(&self.keys)
    }

    /// The keys that can sign, as gpg lists them.
    pub(super) async fn secret_keys(&self) -> Result<Vec<SecretKey>> {
        let listing = ["--with-colons", "--fixed-list-mode", "--list-secret-keys"];
        let done = self.gpg("list its keys", &listing).await?;
        Ok(primary_keys(&done.stdout))
    }

    /// Makes a key that is valid for `life`, without end where absent.
    pub(super) async fn generate(
        &self,
        owner: &str,
        algorithm: &str,
        life: Option<Duration>,
    ) -> Result<SecretKey> {
        let before = self.secret_keys().await?;
        let end = life.map_or("never".to_owned(), |life| format!("seconds={}", life.as_secs()));
        let args = ["--quick-generate-key", owner, algorithm, "sign", &end];
        self.gpg("make a signing key", &args).await?;
        self.keep_ring()?;
        let mut made = self.secret_keys().await?.into_iter();
        let made = made.find(|key| before.iter().all(|b| b.fingerprint != key.fingerprint));
        made.ok_or_else(|| Error::internal("gpg made a signing key and does not list it"))
    }

    /// Lets a key end at another time, or never.
    pub(super) async fn set_end(&self, fingerprint: &str, end: Option<Timestamp>) -> Result<()> {
        let end = match end {
            Some(end) => iso(end)?,
            None => "never".to_owned(),
        };
        let args = ["--quick-set-expire", fingerprint, &end];
        self.gpg("let the signing key expire later", &args).await?;
        self.keep_ring()
    }

    /// Copies the changed key ring out of the temporary home.
    fn keep_ring(&self) -> Result<()> {
        let (ring, draft) = (self.home.path().join(RING), self.keys.join("pubring.new"));
        fs::copy(&ring, &draft).map_err(|e| error::io("copy", &ring, e))?;
        files::flush_all(&self.keys)?;
        files::rename(&draft, &self.keys.join(RING))
    }

    /// The directory of the keys, for messages.
    pub(super) fn place(&self) -> &Path {
        &self.keys
    }

    /// The armoured public keys, in one block.
    pub(super) async fn export(&self, fingerprints: &[String]) -> Result<String> {
        let mut args = vec!["--armor", "--export"];
        args.extend(fingerprints.iter().map(String::as_str));
        let done = self.gpg("export the public key", &args).await?;
        if done.stdout.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            return Ok(done.stdout);
        }
        Err(error::tool("gpg", "export the public key", &done))
    }

    /// Writes the public keys to a file, not armoured.
    pub(super) async fn export_binary(&self, fingerprints: &[String], to: &Path) -> Result<()> {
        let to = to.display().to_string();
        let mut args = vec!["--output", &to, "--export"];
        args.extend(fingerprints.iter().map(String::as_str));
        self.gpg("export the public key", &args).await.map(drop)
    }

    /// Writes `InRelease` and `Release.gpg` beside `Release` in `dist`.
    pub(super) async fn sign(&self, fingerprints: &[String], dist: &Path) -> Result<()> {
        let release = dist.join("Release");
        self.sign_file(fingerprints, "--clearsign", &release, &dist.join("InRelease")).await?;
        self.sign_file(fingerprints, "--detach-sign", &release, &dist.join("Release.gpg")).await
    }

    /// Writes the armoured signatures of a file, one of each key, to another; `how` is gpg's option for it.
    pub(super) async fn sign_file(
        &self,
        fingerprints: &[String],
        how: &str,
        file: &Path,
        to: &Path,
    ) -> Result<()> {
        let (file, written) = (file.display().to_string(), to.display().to_string());
        let by = fingerprints.iter().flat_map(|f| ["--local-user", f]);
        let mut args: Vec<&str> = by.collect();
        args.extend(["--digest-algo", "SHA512", "--armor", "--output", &written, how, &file]);
        let done = self.gpg("sign the index", &args).await?;
        let signed = files::text(to)?.unwrap_or_default();
        if signed.ends_with("-----END PGP SIGNATURE-----\n") {
            return Ok(());
        }
        Err(error::tool("gpg", "sign the index in full", &done))
    }

    /// Verifies that a file's signature is of this very key.
    pub(super) async fn verify_file(
        &self,
        fingerprint: &str,
        file: &Path,
        signature: &Path,
    ) -> Result<()> {
        let (file, signature) = (file.display().to_string(), signature.display().to_string());
        let args = ["--status-fd", "1", "--verify", &signature, &file];
        let done = self.gpg("verify what it has signed", &args).await?;
        // The primary key's fingerprint is the last word (gpg's `doc/DETAILS`).
        let valid = done.stdout.lines().any(|line| {
            line.starts_with("[GNUPG:] VALIDSIG ") && line.ends_with(&format!(" {fingerprint}"))
        });
        if valid {
            return Ok(());
        }
        Err(error::tool("gpg", "verify what it has signed", &done))
    }

    /// Puts a signature into each of these RPM packages, in place of one that is there (`rpmsign(8)`).
    pub(super) async fn sign_packages(
        &self,
        fingerprint: &str,
        packages: &[PathBuf],
    ) -> Result<()> {
        let home =
            BTreeMap::from([("GNUPGHOME".to_owned(), self.home.path().display().to_string())]);
        let define = |macro_and_value: &str| ["--define".to_owned(), macro_and_value.to_owned()];
        let unattended = "--batch --no-tty --pinentry-mode loopback --trust-model always";
        let mut fixed = vec!["rpmsign".to_owned(), "--addsign".to_owned()];
        // rpm looks for gpg2, which is not everywhere, and by its path only.
        fixed.extend(define("__gpg /usr/bin/gpg"));
        fixed.extend(define(&format!("_gpg_name {fingerprint}")));
        fixed.extend(define("_gpg_digest_algo sha512"));
        fixed.extend(define(&format!("_gpg_sign_cmd_extra_args {unattended}")));
        for some in packages.chunks(100) {
            let mut argv = fixed.clone();
            argv.extend(some.iter().map(|p| p.display().to_string()));
            let done = self.tool.run(&argv, self.home.path(), &home).await?;
            if done.code != 0 {
                return Err(error::tool("rpmsign", "sign the packages", &done));
            }
        }
        Ok(())
    }
}

/// Names the home that is in use, for whoever comes after a kill.
fn session(keys: &Path) -> PathBuf {
    keys.join("session")
}

/// Removes the home that is in use or, at the start, the one of a killed publication.
fn remove_home(keys: &Path) -> Result<()> {
    let Some(path) = files::text(&session(keys))? else {
        return Ok(());
    };
    let home = Path::new(&path);
    if home.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX)) {
        files::remove_tree(home)?;
    }
    fs::remove_file(session(keys)).map_err(|e| error::io("remove", &session(keys), e))
}

/// A time as gpg reads it: `20281201T000000`, in UTC.
fn iso(at: Timestamp) -> Result<String> {
    let bad = |e: String| Error::invalid(format!("a key cannot end at that time: {e}"));
    let format = format_description!("[year][month][day]T[hour][minute][second]");
    let time = OffsetDateTime::from_unix_timestamp(at.as_micros().div_euclid(1_000_000));
    time.map_err(|e| bad(e.to_string()))?.format(format).map_err(|e| bad(e.to_string()))
}

/// A primary key whose secret half is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretKey {
    pub(super) fingerprint: String,
    /// When it expires; never, where absent.
    pub(super) end: Option<Timestamp>,
}

/// The primary keys in gpg's listing (`doc/DETAILS`: after `sec`, whose field 7 is the expiry, `fpr`, whose field 10 is
/// the fingerprint).
fn primary_keys(listing: &str) -> Vec<SecretKey> {
    listed_keys(listing, "sec")
}

/// When the first of the public keys in gpg's listing ends.
pub(super) fn public_ends(listing: &str) -> Option<Timestamp> {
    listed_keys(listing, "pub").into_iter().filter_map(|key| key.end).min()
}

fn listed_keys(listing: &str, record: &str) -> Vec<SecretKey> {
    let (mut found, mut primary) = (Vec::new(), None);
    for line in listing.lines() {
        let fields: Vec<_> = line.split(':').collect();
        match (fields[0], fields.get(9)) {
            (kind, _) if kind == record => {
                let seconds = fields.get(6).and_then(|f| f.parse::<i64>().ok());
                primary = Some(seconds.map(|s| Timestamp::from_micros(s * 1_000_000)));
            }
            ("fpr", Some(fingerprint)) => {
                if let Some(end) = primary.take() {
                    found.push(SecretKey { fingerprint: (*fingerprint).to_owned(), end });
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// For what needs no program.
    #[derive(Debug)]
    struct NoTool;

    #[async_trait]
    impl Tool for NoTool {
        async fn run(
            &self,
            argv: &[String],
            _: &Path,
            _: &BTreeMap<String, String>,
        ) -> Result<Done> {
            Err(Error::internal(format!("{argv:?} was not to be run")))
        }
    }

    #[test]
    fn the_home_is_its_owners_alone_and_an_abandoned_one_goes() {
        let keys = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let first = Gpg::open(&NoTool, keys.path()).unwrap();
        assert_eq!((mode(first.home.path()), mode(keys.path())), (0o700, 0o700));
        let abandoned = first.home.keep();
        let second = Gpg::open(&NoTool, keys.path()).unwrap();
        assert!(!abandoned.exists() && second.home.path().exists());
    }

    #[test]
    fn only_primary_keys_are_taken_for_signing_keys() {
        let listing = "sec:u:255:22:1D6F:1795397992:::u:::scSC:::+::ed25519:::0:\nfpr:::::::::AAAA:\ngrp:::::::::9F5E:\n\
            uid:u::::1::1D::x::::::::::0:\nssb:u:255:18:1D:1::::::e:::+::cv25519::\nfpr:::::::::BBBB:\n";
        let key = SecretKey { fingerprint: "AAAA".to_owned(), end: None };
        assert_eq!(primary_keys(listing), std::slice::from_ref(&key));
        assert!(primary_keys("").is_empty());
        let ending = "sec:u:255:22:1D6F:1795397992:1795398000::u:::scSC:::+::ed25519:::0:\nfpr:::::::::AAAA:\n";
        let end = Some(Timestamp::from_micros(1_795_398_000_000_000));
        assert_eq!(primary_keys(ending), [SecretKey { end, ..key }]);
        assert_eq!(iso(Timestamp::from_micros(1_795_398_018_000_000)).unwrap(), "20261123T014018");
    }
}
