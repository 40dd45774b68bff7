//! PostgreSQL and RabbitMQ, private ones that `tools/services` has started: killed, and started again as they were.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::process::{self, command, tool};

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    room: PathBuf,
    user: &'static str,
    argv: Vec<String>,
    env: Vec<(String, String)>,
}

impl Service {
    /// Learns from the running service how it is started.
    pub(crate) fn find(name: &'static str) -> Result<Self, String> {
        let room = std::env::var("PYBIT_TEST_SERVICES")
            .map_err(|_| "run this under `tools/services run --`".to_owned())?;
        let room = PathBuf::from(room);
        let mut service = Self { name, room, user: name, argv: Vec::new(), env: Vec::new() };
        let proc = PathBuf::from(format!("/proc/{}", service.pid()?));
        let read = |file: &str| {
            let bytes = std::fs::read(proc.join(file)).map_err(|e| format!("{name}: {e}"))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok::<_, String>(
                text.split('\0').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>(),
            )
        };
        service.argv = read("cmdline")?;
        let pair = |w: String| w.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        service.env = read("environ")?.into_iter().filter_map(pair).collect();
        if name == "rabbitmq" {
            // What runs is the Erlang machine; the script that starts it takes its words from the same variables.
            service.argv = vec!["/usr/lib/rabbitmq/bin/rabbitmq-server".to_owned()];
        }
        Ok(service)
    }

    fn pid_file(&self) -> PathBuf {
        self.room.join(format!("{}.pid", self.name))
    }

    pub(crate) fn pid(&self) -> Result<u32, String> {
        let text = std::fs::read_to_string(self.pid_file()).map_err(|e| e.to_string())?;
        text.trim().parse().map_err(|e| format!("{}: {e}", self.name))
    }

    /// Ends it at once, with everything below it.
    pub(crate) fn kill(&self) {
        let Ok(pid) = self.pid() else { return };
        let below = process::below(pid);
        process::signal(pid, Signal::SIGKILL);
        // PostgreSQL's own processes see their postmaster die and end; those of RabbitMQ are helpers.
        if self.name == "rabbitmq" {
            for (child, _) in below {
                process::signal(child, Signal::SIGKILL);
            }
        }
    }

    /// What `rabbitmqctl` says of it.
    pub(crate) async fn control(&self, words: &[&str]) -> Result<String, String> {
        let host = std::env::var("PYBIT_TEST_AMQP_URL").unwrap_or_default();
        let host = url::Url::parse(&host).map_err(|e| e.to_string())?;
        // `%2f` is the virtual host `/`.
        let path = host.path().trim_start_matches('/');
        let vhost = url::form_urlencoded::parse(path.as_bytes()).next();
        let vhost = vhost.map_or_else(|| "/".to_owned(), |(name, _)| name.into_owned());
        let mut argv: Vec<String> = Vec::new();
        if nix::unistd::geteuid().is_root() {
            argv.extend(
                ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", "--"]
                    .map(str::to_owned),
            );
        }
        argv.push("/usr/lib/rabbitmq/bin/rabbitmqctl".to_owned());
        argv.extend(["--quiet", "-p", &vhost].map(str::to_owned));
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        let mut control = command(&argv);
        control.current_dir(self.room.join(self.name)).env_clear().envs(self.env.iter().cloned());
        // It takes seconds, and every line of the farm goes through this thread.
        let ran = tokio::task::spawn_blocking(move || control.output()).await;
        let out = ran.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        Err(String::from_utf8_lossy(&out.stderr).trim().to_owned())
    }

    /// Starts it as it was started before.
    pub(crate) fn start(&self) -> Result<(), String> {
        let home = self.room.join(self.name);
        if self.name == "rabbitmq" {
            let _ = std::fs::remove_file(home.join("pid"));
        }
        let log = self.room.join(format!("{}.log", self.name));
        let out = File::options().append(true).create(true).open(log).map_err(|e| e.to_string())?;
        let mut argv: Vec<String> = Vec::new();
        if nix::unistd::geteuid().is_root() {
            argv.extend(
                ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", "--"]
                    .map(str::to_owned),
            );
        }
        argv.extend(self.argv.iter().cloned());
        let mut child = command(&argv)
            .current_dir(&home)
            .env_clear()
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(|e| e.to_string())?)
            .stderr(out)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.name))?;
        let pid = child.id();
        // Whoever ends it: until it is waited for, its number is taken, and PostgreSQL takes its own lock for another's.
        std::thread::spawn(move || child.wait());
        self.record(pid)
    }

    /// Keeps the pid where the guard of `tools/services` looks for it.
    fn record(&self, pid: u32) -> Result<(), String> {
        std::fs::write(self.pid_file(), pid.to_string()).map_err(|e| e.to_string())
    }

    /// Whether it takes connections; notes the pid of RabbitMQ's Erlang machine once there is one.
    pub(crate) fn settle(&self, port: u16) -> bool {
        let own = self.room.join(self.name).join("pid");
        if self.name == "rabbitmq"
            && let Ok(text) = std::fs::read_to_string(own)
            && let Ok(pid) = text.trim().parse()
        {
            let _ = self.record(pid);
        }
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    }
}

/// Runs SQL as the administrator.
pub(crate) fn psql(url: &str, sql: &str) -> Result<String, String> {
    tool(&["psql", url, "-qAtc", sql])
}

/// Whether a directory is a mount of its own, made here.
pub(crate) fn mount_tmpfs(at: &Path, mebibytes: u32) -> Result<(), String> {
    std::fs::create_dir_all(at).map_err(|e| e.to_string())?;
    let size = format!("size={mebibytes}m,mode=0755");
    tool(&["mount", "-t", "tmpfs", "-o", &size, "pybit-chaos", &at.display().to_string()]).map(drop)
}
