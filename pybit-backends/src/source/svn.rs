//! Paths in Subversion repositories.
//!
//! `svn` runs as the build user with a configuration directory of its own: no stored password, no prompt, no externals. It resolves
//! names by itself and follows a server's redirects, so a host that is not a public one cannot be kept out by looking at its
//! addresses first: only hosts that the client's `allow_hosts` names are read from.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, LogSink, SourceFetcher};
use pybit_core::format::Exit;
use pybit_core::model::Source;
use pybit_core::{Error, Result};

use super::credentials::{self, Credential};
use super::probe::probe;
use super::reach::{AllowedHost, check_named};
use super::reaching;
use super::trouble::of_svn;
use crate::exec::{Cmd, Exec, Tail};

/// What Subversion repositories may be built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvnConfig {
    /// Whether `file://` repositories of this machine may be read, as the build user.
    pub allow_file: bool,
    /// The hosts that may be read from; none where it is empty.
    pub allow_hosts: Vec<AllowedHost>,
    /// What opens repositories that are not for everybody.
    pub credentials: Vec<Credential>,
    /// How long each step of a fetch may take.
    pub wall: Duration,
}

impl Default for SvnConfig {
    fn default() -> Self {
        let (allow_hosts, credentials) = (Vec::new(), Vec::new());
        Self { allow_file: false, allow_hosts, credentials, wall: Duration::from_hours(1) }
    }
}

/// Fetches [`Source::Svn`].
#[derive(Debug, Clone)]
pub struct SvnFetcher {
    config: SvnConfig,
    exec: Exec,
}

impl SvnFetcher {
    /// Fetches as `config` allows, with `exec`.
    pub fn new(config: SvnConfig, exec: Exec) -> Self {
        Self { config, exec }
    }
}

#[async_trait]
impl SourceFetcher for SvnFetcher {
    fn method(&self) -> &'static str {
        "svn"
    }

    async fn fetch(&self, request: &FetchRequest<'_>, log: &dyn LogSink) -> Result<Fetched> {
        let Source::Svn { url, revision } = request.source else {
            return Err(Error::internal("the svn fetcher was given another kind of source"));
        };
        request.source.check()?;
        if url.starts_with("file:") && !self.config.allow_file {
            let message = "this build client builds from no file:// repository; its configuration must allow that";
            return Err(Error::invalid(message).with_code("source_not_allowed"));
        }
        check_named(url, &self.config.allow_hosts).await?;
        probe(url, &self.config.allow_hosts).await?;
        let revision = match revision {
            Some(revision) => revision.to_string(),
            None => self.newest(request.into, url, log).await?,
        };
        let tree = request.into.join("tree");
        self.export(request.into, url, &revision, &tree, log).await?;
        if !tree.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            return Err(Error::invalid(format!("{url} is a file, not a directory"))
                .with_code("invalid_source"));
        }
        Ok(Fetched { kind: FetchedKind::Tree(tree), resolved: format!("r{revision}") })
    }
}

impl SvnFetcher {
    /// `svn VERB` with what every svn of ours is told; options end at `--`, so `args` bring it and what follows.
    fn svn(&self, dir: &Path, url: &str, verb: &str, args: &[&str]) -> Cmd {
        let home = dir.display().to_string();
        let config = format!("{home}/svn");
        let ours = ["svn", verb, "--non-interactive", "--no-auth-cache", "--config-dir", &config];
        let mut cmd = Cmd::new(ours, dir).within(self.config.wall);
        let proof = credentials::of(url, &self.config.credentials);
        if let Some((user, password)) = proof.and_then(Credential::for_svn) {
            cmd.argv.extend(["--username", user, "--password-from-stdin"].map(str::to_owned));
            cmd = cmd.input(password);
        }
        cmd.argv.extend(args.iter().map(|&a| a.to_owned()));
        cmd.vars.extend(reaching());
        cmd.var("HOME", home).var("SVN_SSH", "ssh -oBatchMode=yes -oConnectTimeout=30")
    }

    /// The newest revision of the repository.
    async fn newest(&self, dir: &Path, url: &str, log: &dyn LogSink) -> Result<String> {
        let cmd =
            self.svn(dir, url, "info", &["--show-item", "revision", "--", &format!("{url}@")]);
        let output = self.exec.output(&cmd, 64 << 10).await?;
        log.write(&output.stderr).await?;
        let text = output.text().ok_or_else(|| of_svn(url, output.exit, &output.complaint()))?;
        Ok(text.trim().to_owned())
    }

    async fn export(
        &self,
        dir: &Path,
        url: &str,
        revision: &str,
        tree: &Path,
        log: &dyn LogSink,
    ) -> Result<()> {
        let (pegged, tree) = (format!("{url}@{revision}"), tree.display().to_string());
        let args = ["--quiet", "--ignore-externals", "-r", revision, "--", &pegged, &tree];
        let said = Tail::new(log);
        match self.exec.run(&self.svn(dir, url, "export", &args), &said).await? {
            Exit::Code(0) => Ok(()),
            exit => Err(of_svn(url, exit, &said.text())),
        }
    }
}
