//! PostgreSQL and RabbitMQ, and the tools of the first.

use std::path::Path;
use std::time::Duration;

use pybit::backends::exec::{Cmd, Exec, Supervisor};
use pybit::roles::SUPERVISE;
use pybit_core::Result;
use url::Url;

use super::broken;

/// Where farms of our own keep their state and send their hints.
#[derive(Debug, Clone, Default)]
pub(crate) struct Servers {
    /// The URL of a superuser.
    pub(crate) postgres: Option<String>,
    /// A broker.
    pub(crate) amqp: Option<String>,
}

/// The most that a tool may say.
const WORDS: usize = 1 << 20;

/// A database of our own.
#[derive(Debug, Clone)]
pub(super) struct Database {
    /// Its URL.
    pub(super) url: Url,
    exec: Exec,
}

impl Database {
    /// Makes an empty database beside the one that `server` names.
    pub(super) async fn create(server: &str, name: &str) -> Result<Self> {
        let server = Url::parse(server).map_err(|_| broken("the PostgreSQL URL is none"))?;
        let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
        let mut url = server.clone();
        url.set_path(name);
        let beside = Self { url: server, exec: exec.clone() };
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'");
        beside.tool("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", &create]).await?;
        Ok(Self { url, exec })
    }

    /// Runs a file of SQL with its variables.
    pub(super) async fn script(&self, text: &str, variables: &[(&str, String)]) -> Result<String> {
        let file = written(text)?;
        let mut args: Vec<String> =
            ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"].map(str::to_owned).to_vec();
        for (name, value) in variables {
            args.extend(["-v".to_owned(), format!("{name}={value}")]);
        }
        args.extend(["-f".to_owned(), file.path().display().to_string()]);
        self.tool("psql", &args).await
    }

    /// Transactions a second that pgbench reaches with a script.
    pub(super) async fn pgbench(&self, text: &str, clients: usize, secs: u32) -> Result<f64> {
        let file = written(text)?;
        let script = file.path().display().to_string();
        let (clients, secs) = (clients.to_string(), secs.to_string());
        let args = ["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &secs, "-f", &script];
        let said = self.tool("pgbench", &args).await?;
        let tps = said.lines().find_map(|l| l.strip_prefix("tps = ")?.split(' ').next());
        tps.and_then(|n| n.parse().ok()).ok_or_else(|| broken("pgbench told no rate"))
    }

    /// Runs a tool on the database; its password stands in no list of processes.
    async fn tool<S: AsRef<str>>(&self, program: &str, args: &[S]) -> Result<String> {
        let host = self.url.host_str().unwrap_or("localhost");
        let port = self.url.port().unwrap_or(5432).to_string();
        let name = self.url.path().trim_start_matches('/');
        let mut words = vec![program, "-h", host, "-p", &port, "-U", self.url.username()];
        words.extend(args.iter().map(AsRef::as_ref));
        words.push(name);
        let tool = Cmd::new(words, Path::new("/"))
            .var("PGPASSWORD", self.url.password().unwrap_or_default())
            .within(Duration::from_mins(10));
        self.exec.check(&tool, WORDS).await
    }
}

fn written(text: &str) -> Result<tempfile::NamedTempFile> {
    let write = || {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Ok::<_, std::io::Error>(file)
    };
    write().map_err(|e| broken("a script cannot be written").with_source(e))
}
