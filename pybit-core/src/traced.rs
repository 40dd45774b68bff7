//! A transport that tells the log what goes over it.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{ClientName, Route};
use crate::transport::{
    Capability, Command, CommandInbox, Delivery, Hint, Inbox, Receipt, Recipient, Transport,
};

/// Wraps any transport. What succeeds is logged at `trace`, what fails at `debug`: whoever asked for it says more.
/// `PYBIT_LOG=pybit_core::traced=trace` shows all of it.
#[derive(Debug)]
pub struct Traced {
    inner: Arc<dyn Transport>,
}

impl Traced {
    /// Traces `inner`.
    pub fn new(inner: Arc<dyn Transport>) -> Self {
        Self { inner }
    }
}

/// Logs what became of an operation.
fn tell<T>(op: &'static str, what: &dyn std::fmt::Display, since: Instant, done: &Result<T>) {
    let ms = since.elapsed().as_secs_f64() * 1e3;
    match done {
        Ok(_) => tracing::trace!(op, %what, ms, "done"),
        Err(error) => tracing::debug!(op, %what, ms, kind = error.kind().code(), "failed: {error}"),
    }
}

#[async_trait]
impl Transport for Traced {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn serve_farm(&self, farm: &str) -> Result<()> {
        let since = Instant::now();
        let done = self.inner.serve_farm(farm).await;
        tell("serve_farm", &farm, since, &done);
        done
    }

    async fn publish(&self, hint: &Hint) -> Result<()> {
        let since = Instant::now();
        let done = self.inner.publish(hint).await;
        tell("publish", &hint.route, since, &done);
        done
    }

    async fn publish_all(&self, hints: &[Hint]) -> Result<()> {
        let since = Instant::now();
        let done = self.inner.publish_all(hints).await;
        tell("publish_all", &hints.len(), since, &done);
        done
    }

    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        let since = Instant::now();
        let opened = self.inner.consume(client, routes, credit).await;
        tell("consume", client, since, &opened);
        let client = client.clone();
        Ok(Box::new(TracedInbox { inner: opened?, client }))
    }

    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        let since = Instant::now();
        let done = self.inner.send_command(to, command).await;
        match to {
            Recipient::Client(client) => tell("send_command", client, since, &done),
            Recipient::All => tell("send_command", &"all", since, &done),
        }
        done
    }

    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        let since = Instant::now();
        let opened = self.inner.commands(client).await;
        tell("commands", client, since, &opened);
        opened
    }

    async fn depth(&self, route: &Route) -> Result<u64> {
        let since = Instant::now();
        let done = self.inner.depth(route).await;
        tell("depth", route, since, &done);
        done
    }

    async fn health(&self) -> Result<()> {
        let since = Instant::now();
        let done = self.inner.health().await;
        tell("health", &"", since, &done);
        done
    }

    fn foreign(&self) -> u64 {
        self.inner.foreign()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[derive(Debug)]
struct TracedInbox {
    inner: Box<dyn Inbox>,
    client: ClientName,
}

#[async_trait]
impl Inbox for TracedInbox {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let next = self.inner.next().await;
        match &next {
            Ok(Some(Delivery { hint, .. })) => {
                tracing::trace!(client = %self.client, route = %hint.route, job = ?hint.job, "a hint");
            }
            Ok(None) => tracing::debug!(client = %self.client, "the inbox has ended"),
            Err(error) => tracing::debug!(client = %self.client, "no hint: {error}"),
        }
        let Some(Delivery { hint, receipt }) = next? else { return Ok(None) };
        let route = hint.route.clone();
        Ok(Some(Delivery { hint, receipt: Box::new(TracedReceipt { inner: receipt, route }) }))
    }
}

#[derive(Debug)]
struct TracedReceipt {
    inner: Box<dyn Receipt>,
    route: Route,
}

#[async_trait]
impl Receipt for TracedReceipt {
    async fn ack(self: Box<Self>) -> Result<()> {
        let since = Instant::now();
        let done = self.inner.ack().await;
        tell("ack", &self.route, since, &done);
        done
    }
}
