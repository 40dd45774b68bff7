//! The signing key, and signatures, with `gpg`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pybit_core::{Error, ErrorKind, Result};
use tempfile::TempDir;

use super::config::KeyChoice;
use super::tool::{Done, Tool};
use super::{error, files};

/// One use of the key directory: gpg and the agent that it starts.
#[derive(Debug)]
pub(super) struct Gpg<'a> {
    tool: &'a dyn Tool,
    link: TempDir,
    cwd: PathBuf,
}

impl<'a> Gpg<'a> {
    /// Opens the key directory, made at need.
    ///
    /// gpg-agent's socket lies in it, and a socket's path holds at most 108 bytes; so gpg gets a short link to it.
    pub(super) fn open(tool: &'a dyn Tool, home: &Path) -> Result<Self> {
        files::directory(home)?;
        fs::set_permissions(home, fs::Permissions::from_mode(0o700))
            .map_err(|e| error::io("protect", home, e))?;
        let link = tempfile::Builder::new()
            .prefix("pybit-gpg-")
            .tempdir()
            .map_err(|e| error::io("create", &std::env::temp_dir(), e))?;
        let short = link.path().join("home");
        symlink(home, &short).map_err(|e| error::io("create", &short, e))?;
        Ok(Self { tool, link, cwd: home.to_owned() })
    }

    fn home(&self) -> String {
        self.link.path().join("home").display().to_string()
    }

    async fn run(&self, program: &str, command: &[&str]) -> Result<Done> {
        let home = self.home();
        let mut argv = vec![program.to_owned(), "--homedir".to_owned(), home];
        if program == "gpg" {
            argv.extend(
                ["--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
                    .map(str::to_owned),
            );
        }
        argv.extend(command.iter().map(ToString::to_string));
        self.tool.run(&argv, &self.cwd, &BTreeMap::new()).await
    }

    async fn gpg(&self, what: &str, args: &[&str]) -> Result<Done> {
        let done = self.run("gpg", args).await?;
        if done.code == 0 { Ok(done) } else { Err(error::tool("gpg", what, &done)) }
    }

    /// Ends the agent that gpg has left behind.
    pub(super) async fn close(self) -> Result<()> {
        let done = self.run("gpgconf", &["--kill", "gpg-agent"]).await?;
        if done.code == 0 {
            return Ok(());
        }
        Err(error::tool("gpgconf", "end gpg-agent", &done))
    }

    /// The fingerprint of the key that signs. `public` is the public key that readers have been given, if any: then
    /// no other key is made for them.
    pub(super) async fn key(
        &self,
        choice: &KeyChoice,
        public: Option<&Path>,
        owner: &str,
    ) -> Result<String> {
        let there = self.fingerprints().await?;
        match choice {
            KeyChoice::Fingerprint(wanted) => {
                let found = there.into_iter().find(|f| f.eq_ignore_ascii_case(wanted));
                found.ok_or_else(|| {
                    let home = self.cwd.display();
                    missing(format!(
                        "there is no secret key {wanted} in {home}: import it with \"gpg --homedir {home} --import\""
                    ))
                })
            }
            KeyChoice::Generate => match (there.into_iter().next(), public) {
                (Some(key), _) => Ok(key),
                (None, Some(public)) => Err(missing(format!(
                    "the signing key is gone from {}: restore it, or remove {} to sign with a new key that every \
                     reader must be given",
                    self.cwd.display(),
                    public.display()
                ))),
                (None, None) => self.generate(owner).await,
            },
        }
    }

    async fn generate(&self, owner: &str) -> Result<String> {
        self.gpg(
            "make a signing key",
            &["--quick-generate-key", owner, "ed25519", "sign", "never"],
        )
        .await?;
        let made = self.fingerprints().await?.into_iter().next();
        made.ok_or_else(|| Error::internal("gpg made a signing key and does not list it"))
    }

    async fn fingerprints(&self) -> Result<Vec<String>> {
        let done = self.gpg("list its keys", &["--with-colons", "--list-secret-keys"]).await?;
        Ok(primary_fingerprints(&done.stdout))
    }

    /// The armoured public key.
    pub(super) async fn export(&self, fingerprint: &str) -> Result<String> {
        let done = self.gpg("export the public key", &["--armor", "--export", fingerprint]).await?;
        if done.stdout.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            return Ok(done.stdout);
        }
        Err(error::tool("gpg", "export the public key", &done))
    }

    /// Writes `InRelease` and `Release.gpg` beside `Release` in `dist`.
    pub(super) async fn sign(&self, fingerprint: &str, dist: &Path) -> Result<()> {
        let path = |name: &str| dist.join(name).display().to_string();
        let (release, inline, detached) = (path("Release"), path("InRelease"), path("Release.gpg"));
        let by = ["--local-user", fingerprint, "--digest-algo", "SHA512", "--armor"];
        for (how, to) in [("--clearsign", &inline), ("--detach-sign", &detached)] {
            let mut args = by.to_vec();
            args.extend(["--output", to, how, &release]);
            self.gpg("sign the index", &args).await?;
        }
        Ok(())
    }
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message).with_code("no_signing_key").with_op("publish")
}

/// The primary keys' fingerprints in gpg's listing (`doc/DETAILS`: `fpr`, field 10, after `sec`).
fn primary_fingerprints(listing: &str) -> Vec<String> {
    let (mut found, mut primary) = (Vec::new(), false);
    for line in listing.lines() {
        let fields: Vec<_> = line.split(':').collect();
        match (fields[0], fields.get(9)) {
            ("sec", _) => primary = true,
            ("fpr", Some(fingerprint)) if primary => {
                found.push((*fingerprint).to_owned());
                primary = false;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_primary_keys_are_taken_for_signing_keys() {
        let listing = "sec:u:255:22:1D6F:1795397992:::u:::scSC:::+::ed25519:::0:\nfpr:::::::::AAAA:\ngrp:::::::::9F5E:\n\
            uid:u::::1::1D::x::::::::::0:\nssb:u:255:18:1D:1::::::e:::+::cv25519::\nfpr:::::::::BBBB:\n";
        assert_eq!(primary_fingerprints(listing), ["AAAA"]);
        assert!(primary_fingerprints("").is_empty());
    }
}
