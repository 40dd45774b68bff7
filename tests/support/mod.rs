//! A real farm of real processes for the end-to-end tests: every wait is for an event, with a deadline.

pub(crate) mod database;
pub(crate) mod http;
mod jobs;
pub(crate) mod package;
pub(crate) mod process;
pub(crate) mod upload;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

#[allow(unused_imports, clippy::allow_attributes, reason = "not every test wants it")]
pub(crate) use jobs::outcomes;
pub(crate) use process::Role;

/// The program under test.
pub(crate) const PYBIT: &str = env!("CARGO_BIN_EXE_pybit");

/// The longest that anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// Asks until there is an answer; the deadline's panic says what was waited for.
pub(crate) fn wait_for<T>(what: &str, longest: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < longest, "waited {longest:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A farm in a directory of its own: a web server, build clients and a watcher as separate processes.
#[derive(Debug)]
pub(crate) struct Farm {
    dir: tempfile::TempDir,
    port: u16,
}

/// The directory of root tarballs that the tests share and keep between runs: making one takes a minute.
#[allow(dead_code, clippy::allow_attributes, reason = "not every test wants it")]
pub(crate) fn shared_roots() -> PathBuf {
    let cache = PathBuf::from("/var/tmp/pybit-test-roots");
    std::fs::create_dir_all(&cache).unwrap();
    cache
}

/// This machine's Debian architecture.
pub(crate) fn machine_arch() -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Farm {
    /// Writes the configuration of every role. Leases are short, so that lost clients are seen soon, and longer than a slow
    /// machine stands still.
    pub(crate) fn new(extra: &str) -> Self {
        Self::with_lease(Duration::from_secs(4), extra)
    }

    /// A farm whose leases lapse after `ttl`.
    pub(crate) fn with_lease(ttl: Duration, extra: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-e2e-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let farm = Self { dir, port };
        let root = farm.path().display().to_string();
        let (arch, ttl) = (machine_arch(), ttl.as_millis());
        let config = format!(
            r#"
data_dir = "{root}/data"

[policy]
lease_ttl_ms = {ttl}
heartbeat_ms = 300
infra_backoff_ms = 200
avoid_ms = 500
rehint_ms = 500

[web]
listen = "127.0.0.1:{port}"

[[suites]]
dist = "Debian"
name = "bookworm"
format = "deb"
arches = ["{arch}"]
repository = "bookworm"

[[suites.envs]]
name = "host"
weight = 1

{extra}
"#
        );
        std::fs::write(farm.path().join("pybit.toml"), config).unwrap();
        farm
    }

    /// The farm's directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The server's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The administrator's token.
    pub(crate) fn admin_token(&self) -> String {
        let file = self.path().join("data/admin.token");
        std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
    }

    /// Starts the web server and waits until it answers.
    pub(crate) fn web(&self) -> Role {
        let role = Role::start("web", self.path(), &["web"]);
        self.wait_ready();
        role
    }

    /// Waits until the server answers.
    pub(crate) fn wait_ready(&self) {
        wait_for("the web server", DEADLINE, || self.get("/readyz").0.then_some(()));
    }

    /// A token of a role, kept in a file only its owner can read.
    pub(crate) fn token(&self, name: &str, words: &[&str]) -> PathBuf {
        let args = [&["token", "create", "--name", name, "--json"][..], words].concat();
        let reply = self.json(&args);
        let file = self.path().join(format!("{name}.token"));
        std::fs::write(&file, reply["secret"].as_str().unwrap()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        file
    }

    /// An account of the role `submit`; its password, in a file only its owner can read.
    pub(crate) fn account(&self, name: &str, password: &str) -> PathBuf {
        let file = self.path().join(format!("{name}.password"));
        std::fs::write(&file, format!("{password}\n")).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let from = ["--password-file", file.to_str().unwrap()];
        let made = self.run(&[&["account", "add", name, "--role", "submit"][..], &from].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        file
    }

    /// Starts a build client that builds on the machine itself.
    pub(crate) fn client(&self, name: &str) -> Role {
        self.client_through(name, &self.url())
    }

    /// Starts a build client that reaches the server at another address.
    pub(crate) fn client_through(&self, name: &str, url: &str) -> Role {
        let config = self.client_config(name, url);
        Role::start(name, self.path(), &["--config", config.to_str().unwrap(), "client"])
    }

    /// Where a build client keeps the jobs that it has in hand.
    pub(crate) fn jobs_dir(&self, client: &str) -> PathBuf {
        self.path().join(format!("{client}-work/jobs"))
    }

    /// Writes the configuration of a build client, where there is none yet.
    pub(crate) fn client_config(&self, name: &str, url: &str) -> PathBuf {
        let config = self.path().join(format!("{name}.toml"));
        if !config.exists() {
            let token = self.token(name, &["--role", "client", "--client", name]);
            let text = format!(
                r#"
[client]
name = "{name}"
url = "{url}"
token_file = "{}"
work_dir = "{}/{name}-work"
build_user = "pybit-build"
allow_host = true
allow_file = true

[[client.offers]]
dist = "Debian"
suite = "bookworm"
format = "deb"
envs = ["host"]
"#,
                token.display(),
                self.path().display(),
            );
            std::fs::write(&config, text).unwrap();
        }
        config
    }

    /// Starts the watcher.
    pub(crate) fn watcher(&self) -> Role {
        let config = self.watch_config();
        Role::start("watcher", self.path(), &["--config", config.to_str().unwrap(), "watch"])
    }

    /// Writes the configuration of the watcher, where there is none yet.
    pub(crate) fn watch_config(&self) -> PathBuf {
        let config = self.path().join("watch.toml");
        if !config.exists() {
            let token = self.token("watcher", &["--role", "publish"]);
            let root = self.path().display();
            let text = format!(
                r#"
[watch]
url = "{url}"
token_file = "{token}"
work_dir = "{root}/watch-work"

[[watch.repositories]]
name = "bookworm"
dist = "Debian"
suite = "bookworm"
format = "deb"
arches = ["{arch}"]
root = "{root}/data/repositories/bookworm"
public_url = "{url}/repositories/bookworm"

[[watch.drops]]
dir = "{root}/incoming"
repository = "bookworm"
refuse_after_secs = 1
"#,
                url = self.url(),
                token = token.display(),
                arch = machine_arch(),
            );
            std::fs::write(&config, text).unwrap();
        }
        config
    }

    /// Runs a verb of the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A verb of the command as the administrator gives it, before it is started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PYBIT);
        command
            .args(args)
            .current_dir(self.path())
            .env("PYBIT_URL", self.url())
            .env("PYBIT_TOKEN", self.admin_token())
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// A verb that must succeed, its JSON read.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "pybit {args:?}: {shown}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("pybit {args:?}: {e}"))
    }

    /// A plain GET: whether it succeeded, and the body.
    pub(crate) fn get(&self, path: &str) -> (bool, String) {
        Self::get_from(&self.address(), path)
    }

    /// The server's counters.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every test wants it")]
    pub(crate) fn metrics(&self) -> String {
        let token = format!("Authorization: Bearer {}", self.admin_token());
        http::ask(&self.address(), "GET", "/metrics", &[&token], b"").body
    }

    /// A plain GET from a server on this machine.
    pub(crate) fn get_from(address: &str, path: &str) -> (bool, String) {
        let answer = http::ask(address, "GET", path, &[], b"");
        (answer.status == 200, answer.body)
    }

    /// Submits a source tree for `bookworm`; the number of the submission and of its first job.
    pub(crate) fn submit(&self, tree: &Path) -> (String, i64) {
        let reply = self.json(&["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--json"]);
        (reply["submission"]["id"].to_string(), reply["jobs"][0]["id"].as_i64().unwrap())
    }

    /// `Packages` as readers of the repository see it.
    pub(crate) fn index(&self) -> String {
        let index = format!(
            "/repositories/bookworm/dists/bookworm/main/binary-{}/Packages",
            machine_arch()
        );
        self.get(&index).1
    }

    /// Versions of a binary package that readers of the repository see, in `Packages`.
    pub(crate) fn published(&self, package: &str) -> Vec<String> {
        let packages = self.index();
        let mut versions = Vec::new();
        for paragraph in
            packages.split("\n\n").filter(|p| p.lines().any(|l| l == format!("Package: {package}")))
        {
            let version = paragraph.lines().find_map(|l| l.strip_prefix("Version: "));
            versions.push(version.unwrap_or_default().to_owned());
        }
        versions
    }
}
