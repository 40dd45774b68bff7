//! A whole build client against a server with faults: what it promises, from the outside.

mod bench;
mod faults;
mod life;
mod messages;
mod page;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::{Bench, Courier, Stage, Words};
use pybit_core::Result;
use pybit_core::transport::Transport;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::backoff::Backoff;
use crate::client::{Client, Shutdown, live};
use crate::config::{ClientConfig, OfferConfig};
use crate::peer::{Peer, TOKEN};
use crate::samples::target;
use crate::secret::Secret;
use crate::toolbox::Toolbox;

/// A farm of one server and one machine.
struct Farm {
    peer: Peer,
    dir: tempfile::TempDir,
    bench: Arc<Bench>,
    courier: Arc<Courier>,
}

/// A client process.
struct Process {
    task: JoinHandle<Result<()>>,
    stop: oneshot::Sender<Shutdown>,
}

impl Farm {
    async fn new(script: &[&[&str]]) -> Self {
        Self {
            peer: Peer::start().await,
            dir: tempfile::tempdir().unwrap(),
            bench: Bench::new(script),
            courier: Arc::new(Courier(None)),
        }
    }

    fn config(&self) -> ClientConfig {
        let target = target();
        let offer = OfferConfig {
            dist: target.dist,
            suite: target.suite,
            format: target.format,
            arches: vec![target.arch],
            envs: vec![target.env],
            weight: 0,
        };
        ClientConfig {
            name: Some("builder1".parse().unwrap()),
            url: self.peer.url.clone(),
            token: Some(Secret::new(TOKEN)),
            work_dir: self.dir.path().to_owned(),
            allow_host: true,
            offers: vec![offer],
            ..ClientConfig::default()
        }
    }

    fn toolbox(&self) -> Toolbox {
        let bench = Arc::clone(&self.bench);
        Toolbox {
            formats: vec![Arc::new(Words { name: target().format, bench })],
            fetchers: vec![Arc::clone(&self.courier) as _],
            environments: vec![Arc::new(Stage(Arc::clone(&self.bench)))],
        }
    }

    fn start(&self) -> Process {
        self.start_as(self.config(), None)
    }

    fn start_as(&self, config: ClientConfig, transport: Option<Arc<dyn Transport>>) -> Process {
        let waits = Backoff::new(Duration::from_millis(2), Duration::from_millis(20));
        let toolbox = self.toolbox();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let client = Arc::new(Client::open(&config, toolbox, waits)?);
            let shutdown = async { stopped.await.unwrap_or(Shutdown::Fast) };
            live(client, &config, transport, shutdown).await
        });
        Process { task, stop }
    }

    /// Waits until an environment stands.
    async fn building(&self) {
        let mut made = self.bench.made.subscribe();
        let wait = made.wait_for(|(_, alive)| *alive == 1);
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("in time").unwrap();
    }

    /// Waits for the report on a job; its kind and what it says.
    async fn report(&self, job: i64) -> (String, Value) {
        self.peer.until("a report", |s| s.reports.iter().any(|r| r.0 == job)).await;
        let reports = self.peer.with(|s| s.reports.clone());
        reports.into_iter().find(|r| r.0 == job).map(|r| (r.1, r.2)).unwrap()
    }

    /// Waits until the client has no job in hand.
    async fn let_go(&self, of: (i64, u32)) {
        self.peer.until("the job to be let go", |s| !s.held.contains(&of)).await;
    }

    fn log(&self, key: &str) -> String {
        self.peer.with(|s| String::from_utf8(s.logs[key].clone()).unwrap())
    }

    /// What is left in the directory of jobs.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("jobs")).unwrap();
        entries.map(|e| e.unwrap().path()).collect()
    }
}

impl Process {
    /// Ends the process as `kill -9` does: nothing of it runs on, nothing is tidied up.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Asks it to end and waits until it has.
    async fn end(self, how: Shutdown) {
        let Self { task, stop } = self;
        stop.send(how).unwrap();
        tokio::time::timeout(Duration::from_secs(20), task)
            .await
            .expect("in time")
            .unwrap()
            .unwrap();
    }

    /// Waits until it has ended by itself.
    async fn ended(self) -> Result<()> {
        let Self { task, stop } = self;
        let result = tokio::time::timeout(Duration::from_secs(20), task).await.expect("in time");
        drop(stop);
        result.unwrap()
    }
}
