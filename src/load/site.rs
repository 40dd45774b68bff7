//! The farm that is measured: one that runs already, or one of our own in a process of its own.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use pybit::backends::exec::{Cmd, Exec, Supervisor};
use pybit::roles::{DataDir, SUPERVISE, transports};
use pybit_client::{Api, Secret};
use pybit_core::Result;
use pybit_core::build::LogSink;
use pybit_core::model::{ClientName, RepositoryName, Role, Target};
use pybit_core::protocol::NewTokenRequest;
use pybit_core::settings::Settings;
use pybit_core::transport::Transport;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::broken;
use super::cpu::{Meter, Served};
use super::servers::{Database, Servers};

/// A server that is started answers within this.
const START: Duration = Duration::from_mins(2);

/// Where a farm keeps its state and how its hints travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    storage: &'static str,
    transport: &'static str,
    /// Leases of 2 s instead of the default's 20 s.
    quick_lease: bool,
}

impl Kind {
    /// What a growing farm runs on.
    pub(super) const CLUSTER: Self = Self::of("postgres", "rabbitmq");
    /// What `pybit up` runs on.
    pub(super) const LAPTOP: Self = Self::of("sqlite", "memory");
    /// Without a broker.
    pub(super) const BROKERLESS: Self = Self::of("postgres", "zeromq");
    /// Whatever it runs on.
    pub(super) const RUNNING: Self = Self::of("running", "farm");

    const fn of(storage: &'static str, transport: &'static str) -> Self {
        Self { storage, transport, quick_lease: false }
    }

    /// The same in a test configuration, in which lost clients are seen soon.
    pub(super) fn with_quick_leases(self) -> Self {
        Self { quick_lease: true, ..self }
    }

    /// The same, or what comes nearest to it with the servers that are there.
    pub(super) fn on(self, servers: &Servers) -> Self {
        let storage = if servers.postgres.is_some() { self.storage } else { "sqlite" };
        let broker = servers.amqp.is_some() || self.transport != "rabbitmq";
        let transport = if broker { self.transport } else { "memory" };
        Self { storage, transport, ..self }
    }

    fn name(self) -> String {
        let lease = if self.quick_lease { ", leases of 2 s" } else { "" };
        format!("{} + {}{lease}", self.storage, self.transport)
    }
}

/// A farm that is measured.
#[derive(Debug)]
pub(super) struct Site {
    /// Its storage and transport.
    pub(super) farm: String,
    /// Asked with an administrator's token.
    pub(super) admin: Api,
    /// Where builds happen: suites with two architectures each; those of the first suite first.
    pub(super) targets: Vec<Target>,
    /// The repository of the first suite.
    pub(super) repository: Option<RepositoryName>,
    /// What else belongs to one of our own.
    pub(super) own: Option<Own>,
}

/// A farm of our own.
#[derive(Debug)]
pub(super) struct Own {
    dir: tempfile::TempDir,
    /// Its PostgreSQL database.
    pub(super) database: Option<Database>,
    hints: Option<Settings>,
    served: Vec<Served>,
    server: Option<Server>,
}

/// Suites of a farm of our own. The first has a repository.
const SUITES: [&str; 4] = ["bookworm", "trixie", "forky", "sid"];

impl Site {
    /// A farm that runs already: it must serve a suite with two architectures, and is left with the jobs of the measurement.
    pub(super) async fn running(admin: Api) -> Result<Self> {
        let catalogue = admin.catalogue().await?;
        let of_suite = |t: &Target, u: &Target| {
            (&t.dist, &t.suite, &t.format, &t.env) == (&u.dist, &u.suite, &u.format, &u.env)
        };
        let all: Vec<Target> = catalogue.targets.iter().map(|t| t.target.clone()).collect();
        let pair = all.iter().find_map(|t| {
            let suite: Vec<Target> = all.iter().filter(|u| of_suite(t, u)).cloned().collect();
            (suite.len() >= 2).then(|| suite.into_iter().take(2).collect::<Vec<_>>())
        });
        let targets = pair.ok_or_else(|| broken("no suite of this farm has two architectures"))?;
        let first = &targets[0];
        let repository = catalogue.repository(&first.dist, &first.suite, &first.format);
        let repository = repository.map(|r| r.name.clone());
        Ok(Self { farm: "running".to_owned(), admin, targets, repository, own: None })
    }

    /// Starts a farm with a new database.
    pub(super) async fn start(servers: &Servers, kind: Kind) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("pybit-load-").tempdir();
        let dir = dir.map_err(|e| broken("no temporary directory").with_source(e))?;
        let name = format!("load_{:012x}", rand::random::<u64>() >> 16);
        let port = free_port()?;
        let database = match servers.postgres.as_deref().filter(|_| kind.storage == "postgres") {
            Some(server) => Some(Database::create(server, &name).await?),
            None => None,
        };
        let (transport, hints) = transport(servers, kind, &name)?;
        let storage = database
            .as_ref()
            .map(|d| format!("[storage]\nurl = \"{}\"\n", d.url))
            .unwrap_or_default();
        let text = configuration(dir.path(), port, kind, &storage, &transport);
        let config = dir.path().join("pybit.toml");
        std::fs::write(&config, text).map_err(|e| broken("no configuration").with_source(e))?;
        let url = format!("http://127.0.0.1:{port}");
        let server = Server::start(dir.path()).await?;
        let token = dir.path().join("data/admin.token");
        let open = || Api::new(&url, Some(&Secret::read(&token)?));
        let admin = until_ready(open, &server, START).await?;
        let programs = served(port, database.as_ref(), servers, kind);
        let own = Own { dir, database, hints, served: programs, server: Some(server) };
        let targets = SUITES.iter().flat_map(|suite| ["amd64", "arm64"].map(|arch| (suite, arch)));
        let target = |(suite, arch): (&&str, &str)| {
            Ok(Target {
                dist: "Debian".parse()?,
                suite: suite.parse()?,
                arch: arch.parse()?,
                format: "deb".parse()?,
                env: "host".parse()?,
            })
        };
        let targets = targets.map(target).collect::<Result<_>>()?;
        let repository = Some("bookworm".parse()?);
        Ok(Self { farm: kind.name(), admin, targets, repository, own: Some(own) })
    }

    /// The targets of the first suite.
    pub(super) fn first_suite(&self) -> Vec<Target> {
        self.targets[..2].to_vec()
    }

    /// The farm's address, asked with a new token.
    pub(super) async fn caller(&self, role: Role, client: Option<&ClientName>) -> Result<Api> {
        let name = format!("load {:08x}", rand::random::<u32>());
        let request = NewTokenRequest {
            name,
            role,
            client: client.cloned(),
            names: Vec::new(),
            expires_in_days: Some(1),
        };
        let reply = self.admin.new_token(&request).await?;
        self.admin.with_token(&Secret::new(&reply.secret))
    }

    /// A client's end of the transport, where hints travel between processes.
    pub(super) async fn hints(&self) -> Result<Option<std::sync::Arc<dyn Transport>>> {
        match self.own.as_ref().and_then(|own| own.hints.as_ref()) {
            Some(settings) => transports().open(settings).await.map(Some),
            None => Ok(None),
        }
    }

    /// Begins to measure the CPU time of a farm of our own.
    pub(super) fn meter(&self) -> Meter {
        Meter::start(self.own.as_ref().map_or(&[], |own| &own.served))
    }

    /// Its PostgreSQL database.
    pub(super) fn database(&self) -> Option<&Database> {
        self.own.as_ref()?.database.as_ref()
    }

    /// The SQLite file of a farm of our own.
    pub(super) fn file(&self) -> Option<Settings> {
        let own = self.own.as_ref().filter(|own| own.database.is_none())?;
        let data = DataDir::at(&own.dir.path().join("data")).ok()?;
        Some(Settings::url(data.storage_url()))
    }

    /// Kills the server, starts it again and returns when that was; `None` where it is not ours.
    pub(super) async fn restart(&mut self) -> Result<Option<Instant>> {
        let Some(own) = &mut self.own else { return Ok(None) };
        if let Some(server) = own.server.take() {
            server.kill().await;
        }
        let started = Instant::now();
        own.server = Some(Server::start(own.dir.path()).await?);
        Ok(Some(started))
    }

    /// Kills the server of a farm of our own, so that its database is left alone.
    pub(super) async fn stop(&mut self) {
        if let Some(server) = self.own.as_mut().and_then(|own| own.server.take()) {
            server.kill().await;
        }
    }

    /// The server's resident memory in MB.
    pub(super) fn memory(&self) -> Option<f64> {
        resident(&self.own.as_ref()?.dir.path().join("pybit.toml"))
    }

    /// Ends a farm of our own; a running one goes on.
    pub(super) async fn end(self) {
        let mut site = self;
        site.stop().await;
    }
}

/// The programs that a farm consists of.
fn served(port: u16, database: Option<&Database>, servers: &Servers, kind: Kind) -> Vec<Served> {
    let mut served = vec![Served { name: "pybit web", port }];
    let postgres = database.map(|d| d.url.port().unwrap_or(5432));
    served.extend(postgres.map(|port| Served { name: "PostgreSQL", port }));
    let broker = servers.amqp.as_deref().filter(|_| kind.transport == "rabbitmq");
    let broker = broker.and_then(|url| url::Url::parse(url).ok());
    let broker = broker.map(|url| url.port().unwrap_or(5672));
    served.extend(broker.map(|port| Served { name: "RabbitMQ", port }));
    served
}

fn transport(servers: &Servers, kind: Kind, name: &str) -> Result<(String, Option<Settings>)> {
    let table = |url: &str, more: &str| format!("[transport]\nurl = \"{url}\"\n{more}");
    Ok(match (kind.transport, &servers.amqp) {
        ("rabbitmq", Some(url)) => {
            let mut settings = Settings::url(url.clone());
            settings.options.insert("name".to_owned(), name.into());
            (table(url, &format!("name = \"{name}\"\n")), Some(settings))
        }
        ("zeromq", _) => {
            let port = free_port()?;
            let client = Settings::url(format!("zmq://127.0.0.1:{port}"));
            (table(&format!("zmq+bind://127.0.0.1:{port}"), ""), Some(client))
        }
        _ => (table("memory:", ""), None),
    })
}

fn configuration(dir: &Path, port: u16, kind: Kind, storage: &str, transport: &str) -> String {
    let dir = dir.display();
    let lease = if kind.quick_lease { "lease_ttl_ms = 2000\nheartbeat_ms = 300\n" } else { "" };
    let mut text = format!(
        "data_dir = \"{dir}/data\"\n{storage}{transport}\
         [names]\nenabled = false\n[policy]\nlog_bytes = 4294967296\n{lease}\n[web]\nlisten = \"127.0.0.1:{port}\"\n"
    );
    let first = format!("repository = \"{}\"\n", SUITES[0]);
    for (place, suite) in SUITES.iter().enumerate() {
        let repository = if place == 0 { first.as_str() } else { "" };
        let table = format!(
            "[[suites]]\ndist = \"Debian\"\nname = \"{suite}\"\nformat = \"deb\"\n\
             arches = [\"amd64\", \"arm64\"]\n{repository}[[suites.envs]]\nname = \"host\"\n"
        );
        text.push_str(&table);
    }
    text
}

fn free_port() -> Result<u16> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| broken("no free port").with_source(e))
}

/// Asks until the server is ready; fails when it has ended.
async fn until_ready(
    open: impl Fn() -> Result<Api>,
    server: &Server,
    patience: Duration,
) -> Result<Api> {
    let start = Instant::now();
    loop {
        if let Ok(api) = open()
            && api.ready().await.is_ok()
        {
            return Ok(api);
        }
        if server.running.is_finished() || start.elapsed() > patience {
            return Err(broken(
                "the server does not start; PYBIT_LOAD_SERVER_LOG names a file for its log",
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A `pybit web` of our own. Its process ends with this one, however that ends.
#[derive(Debug)]
struct Server {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(dir: &Path) -> Result<Self> {
        let supervisor = Supervisor::this_program(SUPERVISE)?;
        let config = dir.join("pybit.toml").display().to_string();
        let argv = [
            supervisor.program.display().to_string(),
            "--config".to_owned(),
            config,
            "web".to_owned(),
        ];
        let mut cmd = Cmd::new(argv, dir).within(Duration::from_hours(2));
        cmd.limits.log_bytes = u64::MAX;
        let log = std::env::var("PYBIT_LOG").unwrap_or_else(|_| "warn,lapin=off".to_owned());
        let cmd = cmd.var("PYBIT_LOG", log);
        let sink = Said::open().await?;
        let exec = Exec::new(supervisor, None);
        let stop = CancellationToken::new();
        let told = stop.clone();
        let running = tokio::spawn(async move {
            if let Err(error) = exec.run_until(&cmd, &sink, &told).await {
                tracing::warn!(?error, "the measured server");
            }
        });
        Ok(Self { stop, running })
    }

    /// Kills it, and returns when it is gone.
    async fn kill(self) {
        self.stop.cancel();
        // It ends in any case.
        let _ = self.running.await;
    }
}

/// Where a server's log goes.
#[derive(Debug)]
struct Said(Option<tokio::sync::Mutex<tokio::fs::File>>);

impl Said {
    async fn open() -> Result<Self> {
        let Some(path) = std::env::var_os("PYBIT_LOAD_SERVER_LOG") else { return Ok(Self(None)) };
        let file = tokio::fs::File::options().append(true).create(true).open(path).await;
        let file = file.map_err(|e| broken("the server's log cannot be kept").with_source(e))?;
        Ok(Self(Some(tokio::sync::Mutex::new(file))))
    }
}

#[async_trait::async_trait]
impl LogSink for Said {
    async fn write(&self, bytes: &[u8]) -> Result<()> {
        use tokio::io::AsyncWriteExt;
        let Some(file) = &self.0 else { return Ok(()) };
        let written = file.lock().await.write_all(bytes).await;
        written.map_err(|e| broken("the server's log cannot be kept").with_source(e))
    }
}

/// The resident memory, in MB, of the server with this configuration.
fn resident(config: &Path) -> Option<f64> {
    let mine = |dir: &Path| {
        let line = std::fs::read(dir.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
        words.get(1) == Some(&&b"--config"[..])
            && words.get(2) == Some(&config.as_os_str().as_encoded_bytes())
    };
    let server = std::fs::read_dir("/proc").ok()?.flatten().find(|e| mine(&e.path()))?;
    let status = std::fs::read_to_string(server.path().join("status")).ok()?;
    let kib: f64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))?
        .trim()
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    Some(kib * 1024.0 / 1e6)
}
