//! A real farm of real processes for the end-to-end tests: every wait is for an event, with a deadline.

pub(crate) mod package;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

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

/// A process of the farm, killed with the test.
#[derive(Debug)]
pub(crate) struct Role {
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts `pybit` with these words, its output into a file.
    pub(crate) fn start(name: &str, dir: &Path, args: &[&str]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(PYBIT)
            .args(args)
            .current_dir(dir)
            .env_remove("PYBIT_URL")
            .env_remove("PYBIT_TOKEN")
            .env("PYBIT_LOG", "info,sqlx=warn,lapin=off,pybit_core::traced=trace")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Ends it as a crash would: signal 9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.said());
        }
    }
}

/// A farm in a directory of its own: a web server, build clients and a watcher as separate processes.
#[derive(Debug)]
pub(crate) struct Farm {
    dir: tempfile::TempDir,
    port: u16,
}

/// This machine's Debian architecture.
pub(crate) fn machine_arch() -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Farm {
    /// Writes the configuration of every role. Leases are short, so that lost clients are seen soon.
    pub(crate) fn new(extra: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-e2e-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let farm = Self { dir, port };
        let root = farm.path().display().to_string();
        let arch = machine_arch();
        let config = format!(
            r#"
data_dir = "{root}/data"

[policy]
lease_ttl_ms = 2000
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
        format!("http://127.0.0.1:{}", self.port)
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

    /// Starts a build client that builds on the machine itself.
    pub(crate) fn client(&self, name: &str) -> Role {
        self.client_with(name, "")
    }

    /// The same with more tables in its configuration.
    pub(crate) fn client_with(&self, name: &str, extra: &str) -> Role {
        let config = self.path().join(format!("{name}.toml"));
        if !config.exists() {
            let token = self.token(name, &["--role", "client", "--client", name]);
            let text = format!(
                r#"
[client]
name = "{name}"
url = "{}"
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

{extra}
"#,
                self.url(),
                token.display(),
                self.path().display(),
            );
            std::fs::write(&config, text).unwrap();
        }
        Role::start(name, self.path(), &["--config", config.to_str().unwrap(), "client"])
    }

    /// Starts the watcher.
    pub(crate) fn watcher(&self) -> Role {
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
        Role::start("watcher", self.path(), &["--config", config.to_str().unwrap(), "watch"])
    }

    /// Runs a verb of the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let token =
            std::fs::read_to_string(self.path().join("data/admin.token")).unwrap_or_default();
        Command::new(PYBIT)
            .args(args)
            .current_dir(self.path())
            .env("PYBIT_URL", self.url())
            .env("PYBIT_TOKEN", token.trim())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A verb that must succeed, its JSON read.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "pybit {args:?}: {shown}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("pybit {args:?}: {e}"))
    }

    /// A job as the API tells it.
    pub(crate) fn job(&self, id: i64) -> Value {
        self.json(&["job", &id.to_string(), "--json"])
    }

    /// Waits until a job is in a status, and returns its detail.
    pub(crate) fn wait_status(&self, id: i64, status: &str) -> Value {
        wait_for(&format!("job {id} to be {status}"), DEADLINE, || {
            let detail = self.job(id);
            (detail["job"]["status"] == status).then_some(detail)
        })
    }

    /// The log of an attempt.
    pub(crate) fn log(&self, id: i64, attempt: u32) -> String {
        let output = self.run(&["log", &id.to_string(), "--attempt", &attempt.to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A plain GET: whether it succeeded, and the body.
    pub(crate) fn get(&self, path: &str) -> (bool, String) {
        Self::get_from(&format!("127.0.0.1:{}", self.port), path)
    }

    /// A plain GET from a server on this machine.
    pub(crate) fn get_from(address: &str, path: &str) -> (bool, String) {
        use std::io::Write;
        let Ok(mut stream) = std::net::TcpStream::connect(address) else {
            return (false, String::new());
        };
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        if stream.write_all(request.as_bytes()).is_err() {
            return (false, String::new());
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.starts_with("HTTP/1.1 200"), body.to_owned())
    }

    /// Versions of a binary package that readers of the repository see, in `Packages`.
    pub(crate) fn published(&self, package: &str) -> Vec<String> {
        let index = format!(
            "/repositories/bookworm/dists/bookworm/main/binary-{}/Packages",
            machine_arch()
        );
        let (_, packages) = self.get(&index);
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

/// Processes whose environment or command line holds `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let holds = |file: &str| {
            std::fs::read(entry.path().join(file))
                .is_ok_and(|b| String::from_utf8_lossy(&b).contains(marker))
        };
        if pid != std::process::id() && (holds("cmdline") || holds("environ")) {
            found.push(pid);
        }
    }
    found
}
