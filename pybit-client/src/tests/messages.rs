//! Hints and commands.

use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::model::{ClientName, Route};
use pybit_core::protocol::Verdict;
use pybit_core::transport::{
    Capability, Command, CommandInbox, Delivery, Hint, Inbox, Receipt, Recipient, Transport,
};
use tokio::sync::{Mutex, broadcast, mpsc, watch};

use super::{Farm, Shutdown};
use crate::samples::{assignment, target};

/// How many claims were answered with a job.
#[derive(Clone)]
struct Claimed(Arc<dyn Fn() -> usize + Send + Sync>);

impl std::fmt::Debug for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Claimed").field(&self.0()).finish()
    }
}

/// Carries messages from a test to the client.
#[derive(Debug)]
struct Wire {
    hints: mpsc::Sender<Hint>,
    inbox: Arc<Mutex<mpsc::Receiver<Hint>>>,
    commands: broadcast::Sender<Command>,
    /// For each acknowledgement, how many claims had been answered with a job by then.
    acknowledged: watch::Sender<Vec<usize>>,
    claimed: Claimed,
    routes: watch::Sender<Vec<String>>,
}

impl Wire {
    fn new(farm: &Farm) -> Arc<Self> {
        let (hints, inbox) = mpsc::channel(8);
        Arc::new(Self {
            hints,
            inbox: Arc::new(Mutex::new(inbox)),
            commands: broadcast::Sender::new(8),
            acknowledged: watch::Sender::default(),
            claimed: Claimed(Arc::new(farm.peer.claimed())),
            routes: watch::Sender::default(),
        })
    }
}

#[derive(Debug)]
struct Hints(Arc<Mutex<mpsc::Receiver<Hint>>>, Ack);

#[async_trait]
impl Inbox for Hints {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let hint = self.0.lock().await.recv().await;
        Ok(hint.map(|hint| Delivery { hint, receipt: Box::new(self.1.clone()) }))
    }
}

#[derive(Debug, Clone)]
struct Ack(watch::Sender<Vec<usize>>, Claimed);

#[async_trait]
impl Receipt for Ack {
    async fn ack(self: Box<Self>) -> Result<()> {
        let claimed = self.1.0();
        self.0.send_modify(|all| all.push(claimed));
        Ok(())
    }
}

#[derive(Debug)]
struct Commands(broadcast::Receiver<Command>);

#[async_trait]
impl CommandInbox for Commands {
    async fn next(&mut self) -> Result<Option<Command>> {
        Ok(self.0.recv().await.ok())
    }
}

#[async_trait]
impl Transport for Wire {
    fn capability(&self) -> Capability {
        Capability { durable: false, redelivers: false, queues: true }
    }
    async fn serve_farm(&self, _: &str) -> Result<()> {
        Ok(())
    }
    async fn publish(&self, hint: &Hint) -> Result<()> {
        self.hints.send(hint.clone()).await.unwrap();
        Ok(())
    }
    async fn consume(&self, _: &ClientName, routes: &[Route], _: u32) -> Result<Box<dyn Inbox>> {
        self.routes.send_replace(routes.iter().map(ToString::to_string).collect());
        let ack = Ack(self.acknowledged.clone(), self.claimed.clone());
        Ok(Box::new(Hints(Arc::clone(&self.inbox), ack)))
    }
    async fn send_command(&self, _: &Recipient, command: &Command) -> Result<()> {
        self.commands.send(command.clone()).unwrap();
        Ok(())
    }
    async fn commands(&self, _: &ClientName) -> Result<Box<dyn CommandInbox>> {
        Ok(Box::new(Commands(self.commands.subscribe())))
    }
    async fn depth(&self, _: &Route) -> Result<u64> {
        Ok(0)
    }
    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_hint_wakes_an_idle_slot_and_is_acknowledged_after_the_claim() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    // A job that no held claim brings.
    farm.peer.with(|s| {
        s.holds_back = true;
        s.jobs.push_back(assignment(1, 1));
    });
    let wire = Wire::new(&farm);
    let client = farm.start_as(farm.config(), Some(Arc::clone(&wire) as _));
    wire.routes.subscribe().wait_for(|r| !r.is_empty()).await.unwrap();
    let routes = wire.routes.borrow().clone();
    assert_eq!(routes, ["Debian.amd64.bookworm.deb", "Debian.source.bookworm.deb"]);
    wire.publish(&Hint::new(target().route(), None)).await.unwrap();
    assert_eq!(farm.report(1).await.0, "finish");
    // The server had answered the claim when the hint was let go: a client that dies between the two gives the hint back.
    assert_eq!(*wire.acknowledged.borrow(), [1]);
    // A hint for work that is gone is acknowledged too.
    farm.let_go((1, 1)).await;
    wire.publish(&Hint::new(target().route(), None)).await.unwrap();
    wire.acknowledged.subscribe().wait_for(|all| all.len() == 2).await.unwrap();
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_command_brings_the_next_heartbeat_forward() {
    let farm = Farm::new(&[&["hang"]]).await;
    let wire = Wire::new(&farm);
    farm.peer.with(|s| {
        s.heartbeat_ms = Some(600_000);
        s.jobs.push_back(assignment(1, 1));
    });
    let client = farm.start_as(farm.config(), Some(Arc::clone(&wire) as _));
    farm.building().await;
    farm.peer.with(|s| s.verdicts.insert(1, Verdict::Cancel));
    wire.send_command(&Recipient::All, &Command::Beat).await.unwrap();
    assert_eq!(farm.report(1).await.0, "stopped");
    client.end(Shutdown::Fast).await;
}

#[tokio::test]
async fn a_client_that_is_told_to_drain_takes_jobs_again_when_it_is_told_to() {
    let farm = Farm::new(&[&["write", "bytes"]]).await;
    farm.peer.with(|s| {
        s.draining = true;
        s.jobs.push_back(assignment(1, 1));
    });
    let client = farm.start();
    farm.peer.until("some heartbeats", |s| s.beats >= 4).await;
    assert_eq!(farm.peer.with(|s| (s.jobs.len(), s.claims.len())), (1, 0));
    farm.peer.with(|s| s.draining = false);
    assert_eq!(farm.report(1).await.0, "finish");
    client.end(Shutdown::Fast).await;
}
