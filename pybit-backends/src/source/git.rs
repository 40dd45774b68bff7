//! Git repositories.
//!
//! `git` runs as the build user with a configuration of our own and nothing else: no hook, no prompt, no redirect, no
//! transport but those that are allowed. The URL is checked again here, because git takes some for commands.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, LogSink, SourceFetcher};
use pybit_core::format::Exit;
use pybit_core::model::Source;
use pybit_core::{Error, ErrorKind, Result};

use super::credentials::{self, Credential};
use super::probe::probe;
use super::reach::{AllowedHost, Pin, check_host};
use super::refs::{choose, is_commit_id, patterns};
use super::trouble::{self, Trouble};
use super::{disk, reaching};
use crate::exec::{Cmd, Exec, Output, Tail, one_line};

/// What git repositories may be built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitConfig {
    /// Whether `file://` repositories of this machine may be read, as the build user.
    pub allow_file: bool,
    /// Hosts with private addresses that may be read from; of the public Internet every host may.
    pub allow_hosts: Vec<AllowedHost>,
    /// What opens repositories that are not for everybody.
    pub credentials: Vec<Credential>,
    /// Whether submodules are fetched; without, a tree that has some is built without them.
    pub submodules: bool,
    /// Whether an upstream tarball that the repository does not have is fetched from where its watch file says.
    pub uscan: bool,
    /// How long each step of a fetch may take.
    pub wall: Duration,
}

impl Default for GitConfig {
    fn default() -> Self {
        Self {
            allow_file: false,
            allow_hosts: Vec::new(),
            credentials: Vec::new(),
            submodules: true,
            uscan: false,
            wall: Duration::from_hours(1),
        }
    }
}

/// Fetches [`Source::Git`].
#[derive(Debug, Clone)]
pub struct GitFetcher {
    config: GitConfig,
    exec: Exec,
}

impl GitFetcher {
    /// Fetches as `config` allows, with `exec`.
    pub fn new(config: GitConfig, exec: Exec) -> Self {
        Self { config, exec }
    }
}

/// What every git of ours is configured with; it reads no other file. `http.lowSpeed…`: a stalled server.
const CONFIGURATION: &str = "\
[advice]
\tdetachedHead = false
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\taskPass =
[credential]
\thelper =
[fetch]
\trecurseSubmodules = false
\tfsckObjects = false
[gc]
\tauto = 0
[http]
\tfollowRedirects = false
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
[init]
\tdefaultBranch = main
[maintenance]
\tauto = false
[protocol \"ext\"]
\tallow = never
[safe]
\tdirectory = *
[submodule]
\trecurse = false
";

/// One fetch under way.
pub(super) struct Checkout<'a> {
    pub(super) exec: &'a Exec,
    config: &'a GitConfig,
    /// The directory of it all.
    pub(super) into: PathBuf,
    /// Where the files go.
    pub(super) tree: PathBuf,
    pub(super) log: &'a dyn LogSink,
    /// What the names of hosts were resolved to when they were checked.
    pins: Mutex<Vec<Pin>>,
    /// The address that was checked last: of the source, or of the submodule that is fetched.
    address: Mutex<String>,
    /// What opens the addresses that were checked.
    proofs: Mutex<Vec<Credential>>,
}

#[async_trait]
impl SourceFetcher for GitFetcher {
    fn method(&self) -> &'static str {
        "git"
    }

    async fn fetch(&self, request: &FetchRequest<'_>, log: &dyn LogSink) -> Result<Fetched> {
        let Source::Git { url, reference } = request.source else {
            return Err(Error::internal("the git fetcher was given another kind of source"));
        };
        request.source.check()?;
        check_scheme(url, &self.config)?;
        let checkout = Checkout {
            exec: &self.exec,
            config: &self.config,
            into: request.into.to_owned(),
            tree: request.into.join("tree"),
            log,
            pins: Mutex::default(),
            address: Mutex::default(),
            proofs: Mutex::default(),
        };
        checkout.reach(url).await?;
        probe(url, &self.config.allow_hosts).await?;
        checkout.place("gitconfig", CONFIGURATION)?;
        let resolved = checkout.get(url, reference.as_deref()).await?;
        if request.target.format.as_str() == "deb" {
            checkout.upstream(url).await?;
        }
        let mut dirs = vec![checkout.tree.clone()];
        if self.config.submodules {
            dirs.extend(checkout.submodules(url).await?);
        }
        checkout.strip(&dirs).await?;
        Ok(Fetched { kind: FetchedKind::Tree(checkout.tree), resolved })
    }
}

/// Refuses a URL whose transport this client does not allow.
pub(super) fn check_scheme(url: &str, config: &GitConfig) -> Result<()> {
    if url.starts_with("file:") && !config.allow_file {
        let message = "this build client builds from no file:// repository; its configuration must allow that";
        return Err(Error::invalid(message).with_code("source_not_allowed"));
    }
    Ok(())
}

impl Checkout<'_> {
    /// Writes a file beside the tree: nothing but a new one, because the build user can put links in this directory.
    pub(super) fn place(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.into.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path);
        let written = file.and_then(|mut f| f.write_all(text.as_bytes()));
        written.map_err(|e| disk("write", &path, e))?;
        Ok(path)
    }

    /// Refuses a host that may not be reached, and remembers its addresses.
    pub(super) async fn reach(&self, url: &str) -> Result<()> {
        let pin = check_host(url, &self.config.allow_hosts).await?;
        let mut pins = self.pins();
        // One host at a time is fetched from, and ssh would take the address of another for its own.
        pins.retain(|p| matches!(p, Pin::Http(_)));
        pins.extend(pin);
        url.clone_into(&mut self.address());
        let mut proofs = self.proofs();
        proofs.retain(|proof| proof.for_ssh().is_none());
        let found = credentials::of(url, &self.config.credentials);
        if let Some(proof) = found.filter(|proof| !proofs.contains(proof)) {
            proofs.push(proof.clone());
        }
        Ok(())
    }

    fn pins(&self) -> MutexGuard<'_, Vec<Pin>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> MutexGuard<'_, String> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proofs(&self) -> MutexGuard<'_, Vec<Credential>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self) -> &GitConfig {
        self.config
    }

    /// `git` in a directory.
    pub(super) fn git(&self, dir: &Path, args: &[&str]) -> Cmd {
        let protocols =
            if self.config.allow_file { "https:http:ssh:git:file" } else { "https:http:ssh:git" };
        let mut cmd = Cmd::new(["git"], dir).within(self.config.wall);
        cmd.argv.extend(args.iter().map(|&a| a.to_owned()));
        cmd.vars.extend(reaching());
        let pins = self.pins();
        let proofs = self.proofs();
        let mut http: Vec<(String, String)> = Vec::new();
        let mut ssh: Vec<String> = proofs.iter().filter_map(Credential::for_ssh).collect();
        for pin in pins.iter() {
            match pin {
                Pin::Http(pin) => http.push(("http.curloptResolve".to_owned(), pin.clone())),
                Pin::Ssh(options) => ssh.push(options.clone()),
            }
        }
        http.extend(proofs.iter().filter_map(Credential::for_git));
        cmd = cmd.var("GIT_CONFIG_COUNT", http.len().to_string());
        for (n, (key, value)) in http.into_iter().enumerate() {
            cmd = cmd
                .var(&format!("GIT_CONFIG_KEY_{n}"), key)
                .var(&format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        let ssh = ssh.join(" ");
        let home = self.into.display().to_string();
        cmd.var("HOME", &home)
            .var("GIT_CONFIG_NOSYSTEM", "1")
            .var("GIT_CONFIG_GLOBAL", format!("{home}/gitconfig"))
            .var("GIT_ALLOW_PROTOCOL", protocols)
            .var("GIT_TERMINAL_PROMPT", "0")
            .var("GIT_TEMPLATE_DIR", "")
            .var("GIT_SSH_COMMAND", format!("ssh -oBatchMode=yes -oConnectTimeout=30 {ssh}"))
            .var("GIT_LFS_SKIP_SMUDGE", "1")
    }

    /// Runs git into the log; what it complains about becomes the error.
    pub(super) async fn run(&self, dir: &Path, args: &[&str]) -> Result<()> {
        let said = Tail::new(self.log);
        match self.exec.run(&self.git(dir, args), &said).await? {
            Exit::Code(0) => Ok(()),
            exit => Err(self.judge(args, exit, &said.text())),
        }
    }

    /// The error of a git that failed: of the server where one was asked, else of what was fetched.
    fn judge(&self, args: &[&str], exit: Exit, said: &str) -> Error {
        // A server could put these words into any answer: only one that was asked for depth is asked again without.
        let shallow = args.iter().any(|arg| arg.starts_with("--depth="));
        if shallow && said.contains("dumb http transport does not support shallow") {
            return Error::new(ErrorKind::Unsupported, one_line(said)).with_code("no_shallow");
        }
        let address = self.address().clone();
        match args {
            args if asks_server(args) => trouble::of_git(&address, exit, said),
            args if args.contains(&"submodule") => trouble::of_submodule(&address, exit, said),
            _ => trouble::of_content(&address, exit, said),
        }
    }

    /// What a short git says; its complaints go into the log too.
    pub(super) async fn ask(&self, dir: &Path, args: &[&str]) -> Result<String> {
        let output = self.answer(dir, args).await?;
        output.text().ok_or_else(|| self.judge(args, output.exit, &output.complaint()))
    }

    /// A short git with whatever end it has; an answer beyond all measure is the repository's fault.
    pub(super) async fn answer(&self, dir: &Path, args: &[&str]) -> Result<Output> {
        let output = self.exec.output(&self.git(dir, args), 16 << 20).await;
        let output = output.map_err(|e| match e.kind() {
            ErrorKind::TooLarge => Trouble::Broken.of(&self.address(), e),
            _ => e,
        })?;
        self.log.write(&output.stderr).await?;
        Ok(output)
    }

    async fn get(&self, url: &str, reference: Option<&str>) -> Result<String> {
        let tree = &self.tree;
        self.run(&self.into, &["init", "--quiet", "--", "tree"]).await?;
        if let Some(id) = reference.filter(|r| is_commit_id(r)) {
            self.get_commit(url, id).await?;
        } else {
            let name = self.resolve(url, reference).await?;
            self.shallow_or_whole(url, &[&name]).await?;
        }
        let wanted = reference.filter(|r| is_commit_id(r)).unwrap_or("FETCH_HEAD");
        let commit = format!("{wanted}^{{commit}}");
        let resolved =
            self.ask(tree, &["rev-parse", "--verify", "--end-of-options", &commit]).await?;
        let resolved = resolved.trim().to_owned();
        self.run(tree, &["checkout", "--quiet", "--force", "--detach", &resolved]).await?;
        Ok(resolved)
    }

    async fn resolve(&self, url: &str, reference: Option<&str>) -> Result<String> {
        let patterns = patterns(reference);
        // HEAD is listed by every repository that has a commit to build.
        let mut args = vec!["ls-remote", "--quiet", "--", url, "HEAD"];
        args.extend(patterns.iter().map(String::as_str));
        let listing = self.ask(&self.into, &args).await?;
        if listing.trim().is_empty() {
            let why = "it answers without a single reference, so it is no git repository, or an empty one";
            return Err(Trouble::NoRepository.of(url, why));
        }
        choose(&listing, &patterns).map(|w| w.name).ok_or_else(|| {
            let reference = reference.unwrap_or("HEAD");
            Trouble::NotFound.of(url, format_args!("it has no branch and no tag \"{reference}\""))
        })
    }

    /// Many servers give any commit that is asked for; for the others everything is fetched to look for it.
    async fn get_commit(&self, url: &str, id: &str) -> Result<()> {
        // Servers say in many ways that they give no single commit; one that is away says so again below.
        if self.shallow_or_whole(url, &[id]).await.is_ok() {
            return Ok(());
        }
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        self.run(&self.tree, &["fetch", "--quiet", "--no-tags", "--", url, all[0], all[1]]).await?;
        let found = self.ask(&self.tree, &["cat-file", "-t", id]).await;
        let found = found.is_ok_and(|kind| kind.trim() == "commit");
        found
            .then_some(())
            .ok_or_else(|| Trouble::NotFound.of(url, format_args!("it has no commit {id}")))
    }

    pub(super) async fn shallow_or_whole(&self, url: &str, names: &[&str]) -> Result<()> {
        let shallow = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", url];
        match self.run(&self.tree, &[&shallow[..], names].concat()).await {
            Err(e) if e.code() == "no_shallow" => {}
            other => return other,
        }
        let whole = ["fetch", "--quiet", "--no-tags", "--", url];
        self.run(&self.tree, &[&whole[..], names].concat()).await
    }

    /// Removes git's own files, as the build user: a link in the tree must not lead anybody else.
    async fn strip(&self, dirs: &[PathBuf]) -> Result<()> {
        let mut cmd = Cmd::new(["rm", "-rf", "--"], &self.tree);
        cmd.argv.extend(dirs.iter().map(|d| d.join(".git").display().to_string()));
        self.exec.check(&cmd, 64 << 10).await.map(|_| ())
    }
}

/// True for a command of git that asks a server.
fn asks_server(args: &[&str]) -> bool {
    args.first().is_some_and(|verb| ["fetch", "ls-remote"].contains(verb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Supervisor;

    #[derive(Debug)]
    struct Silence;

    #[async_trait]
    impl LogSink for Silence {
        async fn write(&self, _: &[u8]) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn ssh_goes_to_the_address_that_was_looked_at_and_to_no_other_hosts() {
        let allow_hosts = ["127.0.0.0/8", "::1", "known.invalid"].map(|h| h.parse().unwrap());
        let config = GitConfig { allow_hosts: allow_hosts.to_vec(), ..GitConfig::default() };
        let exec = Exec::new(Supervisor { program: "/nowhere".into(), args: vec![] }, None);
        let (into, tree) = (PathBuf::from("/nowhere"), PathBuf::from("/nowhere/tree"));
        let checkout = Checkout {
            exec: &exec,
            config: &config,
            into,
            tree,
            log: &Silence,
            pins: Mutex::default(),
            address: Mutex::default(),
            proofs: Mutex::default(),
        };
        let ssh = || checkout.git(Path::new("/"), &[]).vars["GIT_SSH_COMMAND"].clone();
        checkout.reach("ssh://git@localhost:2222/x").await.unwrap();
        assert!(ssh().contains("-oHostName="), "{}", ssh());
        assert!(ssh().ends_with("'-oHostKeyAlias=[localhost]:2222'"), "{}", ssh());
        checkout.reach("https://localhost/x").await.unwrap();
        assert!(!ssh().contains("HostName"), "{}", ssh());
        assert_eq!(checkout.git(Path::new("/"), &[]).vars["GIT_CONFIG_COUNT"], "1");
        checkout.reach("ssh://git@localhost/x").await.unwrap();
        checkout.reach("ssh://git@known.invalid/x").await.unwrap();
        assert!(!ssh().contains("HostName"), "{}", ssh());
    }
}
