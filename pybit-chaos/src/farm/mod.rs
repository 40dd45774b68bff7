//! A real farm of separate processes, every line between them through a proxy.

pub(crate) mod config;
pub(crate) mod hints;
pub(crate) mod process;
pub(crate) mod reader;
pub(crate) mod services;
mod signature;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pybit::client::{Api, Secret};
use pybit::core::model::Role;
use pybit::core::protocol::NewTokenRequest;
use tokio::time::sleep;
use url::Url;

use crate::faults::queues::Deleted;
use crate::plan::{Backends, LIGHT, REAL};
use crate::proxy::Proxy;
use process::{Process, Spec};
use services::Service;

/// How long the farm may take to stand.
const START: Duration = Duration::from_mins(1);

/// What a run is made with.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) pybit: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) backends: Backends,
    pub(crate) clients: u8,
    pub(crate) watchers: u8,
}

#[derive(Debug)]
pub(crate) struct Farm {
    pub(crate) dir: PathBuf,
    pub(crate) made: Made,
    processes: Mutex<BTreeMap<String, Process>>,
    /// The lines to each web server, for clients and watchers.
    pub(crate) lines: Vec<Proxy>,
    /// The lines between servers, clients and services.
    pub(crate) database_line: Option<Proxy>,
    pub(crate) hint_line: Option<Proxy>,
    pub(crate) postgres: Option<Service>,
    pub(crate) rabbitmq: Option<Service>,
    /// The web servers' own ports.
    pub(crate) ports: Vec<u16>,
    pub(crate) database: String,
    pub(crate) database_port: u16,
    pub(crate) broker_port: u16,
    /// The broker's own address; empty where there is none.
    pub(crate) broker: String,
    pub(crate) arch: String,
    /// What must never be seen anywhere.
    pub(crate) secrets: Mutex<Vec<String>>,
    /// Queues that a fault has deleted.
    pub(crate) deleted: Mutex<Vec<Deleted>>,
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener.local_addr().map(|a| a.port()).map_err(|e| e.to_string())
}

fn with_port(url: &str, port: u16) -> Result<String, String> {
    let mut url = Url::parse(url).map_err(|e| e.to_string())?;
    url.set_port(Some(port)).map_err(|()| "a service's URL has a port".to_owned())?;
    Ok(url.into())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name)
        .map_err(|_| format!("{name} is not set: run this under `tools/services run --`"))
}

/// The storage and transport of a farm, as they are configured.
#[derive(Debug)]
struct Ground {
    storage: String,
    server_hints: String,
    client_hints: String,
}

impl Farm {
    /// Starts everything and waits until it answers.
    pub(crate) async fn start(dir: &Path, made: Made, label: &str) -> Result<Arc<Self>, String> {
        let arch = process::tool(&["dpkg", "--print-architecture"])?.trim().to_owned();
        let mut farm = Self {
            dir: dir.to_owned(),
            made,
            processes: Mutex::default(),
            lines: Vec::new(),
            database_line: None,
            hint_line: None,
            postgres: None,
            rabbitmq: None,
            ports: Vec::new(),
            database: String::new(),
            database_port: 0,
            broker_port: 0,
            broker: String::new(),
            arch,
            secrets: Mutex::default(),
            deleted: Mutex::default(),
        };
        farm.mounts()?;
        let ground = match farm.made.backends {
            Backends::PostgresRabbit => farm.services(label).await?,
            Backends::SqliteZero => farm.alone().await?,
        };
        farm.servers(&ground).await?;
        let farm = Arc::new(farm);
        farm.builders(&ground).await?;
        farm.watchers()?;
        Ok(farm)
    }

    /// Disks that can be filled.
    fn mounts(&self) -> Result<(), String> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        services::mount_tmpfs(&self.dir.join("data"), 256)?;
        services::mount_tmpfs(&self.dir.join("client-1"), 64)?;
        services::mount_tmpfs(&self.dir.join("repositories"), 128)
    }

    async fn services(&mut self, label: &str) -> Result<Ground, String> {
        let server = variable("PYBIT_TEST_POSTGRES_URL")?;
        let broker = variable("PYBIT_TEST_AMQP_URL")?;
        let name = format!("pybit_chaos_{}_{label}", std::process::id());
        services::psql(&server, &format!("CREATE DATABASE {name}"))?;
        let mut url = Url::parse(&server).map_err(|e| e.to_string())?;
        url.set_path(&name);
        for secret in [&url, &Url::parse(&broker).map_err(|e| e.to_string())?] {
            self.keep_secret(secret.password().unwrap_or_default());
        }
        self.database_port = url.port().unwrap_or(5432);
        self.database = url.into();
        self.broker_port =
            Url::parse(&broker).ok().and_then(|u| u.port()).ok_or("the broker's URL has a port")?;
        self.postgres = Some(Service::find("postgres")?);
        self.rabbitmq = Some(Service::find("rabbitmq")?);
        let database = Proxy::open(self.database_port).await.map_err(|e| e.to_string())?;
        let hints = Proxy::open(self.broker_port).await.map_err(|e| e.to_string())?;
        let storage = format!("url = \"{}\"", with_port(&self.database, database.port())?);
        let hint = format!("url = \"{}\"\nname = \"{name}\"", with_port(&broker, hints.port())?);
        (self.database_line, self.hint_line) = (Some(database), Some(hints));
        self.broker = broker;
        Ok(Ground { storage, server_hints: hint.clone(), client_hints: hint })
    }

    async fn alone(&mut self) -> Result<Ground, String> {
        let port = free_port()?;
        let hints = Proxy::open(port).await.map_err(|e| e.to_string())?;
        self.broker_port = port;
        let file = self.dir.join("data/farm.db");
        self.database = file.display().to_string();
        let client_hints = format!("url = \"zmq://127.0.0.1:{}\"", hints.port());
        self.hint_line = Some(hints);
        Ok(Ground {
            storage: format!("url = \"sqlite://{}\"", file.display()),
            server_hints: format!("url = \"zmq+bind://127.0.0.1:{port}\""),
            client_hints,
        })
    }

    async fn servers(&mut self, ground: &Ground) -> Result<(), String> {
        let servers = if self.made.backends == Backends::PostgresRabbit { 2 } else { 1 };
        for n in 1..=servers {
            let port = free_port()?;
            let text =
                config::web(&self.dir, &self.arch, port, &ground.storage, &ground.server_hints);
            self.add(&format!("web-{n}"), &text, &["web"], true)?;
            self.lines.push(Proxy::open(port).await.map_err(|e| e.to_string())?);
            self.ports.push(port);
            let api =
                Api::new(&format!("http://127.0.0.1:{port}"), None).map_err(|e| e.to_string())?;
            let start = Instant::now();
            while let Err(error) = api.ready().await {
                if start.elapsed() > START {
                    return Err(format!("web-{n} does not get ready: {error}"));
                }
                self.tend();
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn builders(&self, ground: &Ground) -> Result<(), String> {
        let api = self.admin()?;
        for n in 1..=usize::from(self.made.clients) {
            let name = format!("client-{n}");
            self.token(&api, &name, Role::Client).await?;
            let slots = if n % 2 == 0 { 2 } else { 1 };
            let url = self.url(n);
            let text = config::client(&self.dir, &name, &url, slots, &ground.client_hints);
            self.add(&name, &text, &["client"], false)?;
        }
        self.token(&api, "watcher", Role::Publish).await?;
        self.token(&api, "submitter", Role::Admin).await
    }

    fn watchers(&self) -> Result<(), String> {
        let url = self.url(0);
        let text = config::watch(&self.dir, "watch-real", REAL, &url, &self.arch);
        self.add("watch-real", &text, &["watch"], true)?;
        if self.made.watchers > 1 {
            let text = config::watch(&self.dir, "watch-real-2", REAL, &self.url(1), &self.arch);
            self.add("watch-real-2", &text, &["watch"], true)?;
        }
        let text = config::watch(&self.dir, "watch-light", LIGHT, &url, &self.arch);
        self.add("watch-light", &text, &["watch"], false)
    }

    /// Writes a process's configuration and starts it; `real` ones are the command, the others this program.
    pub(crate) fn add(
        &self,
        name: &str,
        config: &str,
        verb: &[&str],
        real: bool,
    ) -> Result<(), String> {
        let file = self.dir.join(format!("{name}.toml"));
        std::fs::write(&file, config).map_err(|e| e.to_string())?;
        let me = std::env::current_exe().map_err(|e| e.to_string())?;
        let program = if real { &self.made.pybit } else { &me };
        let mut argv = vec![program.display().to_string()];
        argv.extend(["--config".to_owned(), file.display().to_string()]);
        argv.extend(verb.iter().map(|w| (*w).to_owned()));
        if !real {
            argv.swap(1, 3);
            argv.swap(2, 3);
        }
        let mut env = vec![("PYBIT_LOG".to_owned(), "info,sqlx=warn,lapin=off".to_owned())];
        env.extend(self.clock_for(name));
        env.extend(self.made.env.iter().cloned());
        let spec = Spec { name: name.to_owned(), argv, env, dir: self.dir.clone() };
        let mut process = Process::new(spec);
        process.start().map_err(|e| format!("{name}: {e}"))?;
        self.processes().insert(name.to_owned(), process);
        Ok(())
    }

    /// Servers and every second client go by a wall clock that can jump; nobody's monotonic clock does.
    fn clock_for(&self, name: &str) -> Vec<(String, String)> {
        let group = if name.starts_with("web") { "servers" } else { "clients" };
        let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
        let jumps = name.starts_with("web") || ["client-2", "client-4", "client-6"].contains(&name);
        if !jumps || !Path::new(library).exists() {
            return Vec::new();
        }
        let file = self.clock_file(group);
        if !file.exists() {
            let _ = std::fs::write(&file, "+0\n");
        }
        [
            ("LD_PRELOAD", library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .to_vec()
    }

    pub(crate) fn clock_file(&self, group: &str) -> PathBuf {
        self.dir.join(format!("clock-{group}"))
    }

    /// The address by which the nth client reaches its server: through a proxy.
    fn url(&self, n: usize) -> String {
        format!("http://127.0.0.1:{}", self.lines[n % self.lines.len()].port())
    }

    /// The administrator's end of the API, past every proxy.
    pub(crate) fn admin(&self) -> Result<Api, String> {
        let file = self.dir.join("data/admin.token");
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
        self.keep_secret(text.trim());
        let url = format!("http://127.0.0.1:{}", self.ports[0]);
        Api::new(&url, Some(&Secret::new(text.trim()))).map_err(|e| e.to_string())
    }

    /// The submitter's ends, one for each server, through the proxies.
    pub(crate) fn submitter(&self) -> Result<Vec<Api>, String> {
        let secret = Secret::read(&self.dir.join("submitter.token")).map_err(|e| e.to_string())?;
        let open = |n| Api::new(&self.url(n), Some(&secret)).map_err(|e| e.to_string());
        (0..self.lines.len()).map(open).collect()
    }

    async fn token(&self, api: &Api, name: &str, role: Role) -> Result<(), String> {
        use std::os::unix::fs::PermissionsExt;
        let client = (role == Role::Client).then(|| name.parse()).transpose();
        let client = client.map_err(|e: pybit::Error| e.to_string())?;
        let asked = NewTokenRequest {
            name: name.to_owned(),
            role,
            client,
            names: Vec::new(),
            expires_in_days: None,
        };
        let reply = api.new_token(&asked).await.map_err(|e| e.to_string())?;
        self.keep_secret(&reply.secret);
        let file = self.dir.join(format!("{name}.token"));
        std::fs::write(&file, reply.secret).map_err(|e| e.to_string())?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, mode).map_err(|e| e.to_string())
    }

    fn keep_secret(&self, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secret.is_empty() && !secrets.iter().any(|s| s == secret) {
            secrets.push(secret.to_owned());
        }
    }

    pub(crate) fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of processes that begin so.
    pub(crate) fn names(&self, begin: &str) -> Vec<String> {
        self.processes().keys().filter(|n| n.starts_with(begin)).cloned().collect()
    }

    /// Starts again whoever has died.
    pub(crate) fn tend(&self) {
        for process in self.processes().values_mut() {
            process.tend();
        }
    }

    /// Every line.
    pub(crate) fn all_lines(&self) -> impl Iterator<Item = &Proxy> {
        self.lines.iter().chain(&self.database_line).chain(&self.hint_line)
    }
}
