//! Hints over a RabbitMQ broker.
//!
//! | file | what |
//! |---|---|
//! | `config.rs` | the URL and the keys beside it |
//! | `names.rs` | what exchanges, queues and keys are called |
//! | `topology.rs` | what is declared, with which arguments, and why |
//! | `link.rs`, `socket.rs`, `attend.rs` | one connection that comes back by itself, and listeners that follow it |
//! | `publish.rs`, `inbox.rs`, `commands.rs` | hints out, hints in, commands |
//! | `error.rs` | the broker's words as sentences |
//!
//! Everything that is lost with a connection is made again on the next one: exchanges, queues, bindings, consumers. What
//! was not confirmed counts as not sent, what was not acknowledged comes again, and a receipt from before is void.

mod attend;
mod brim;
mod commands;
mod config;
mod error;
mod inbox;
mod link;
mod names;
mod publish;
mod socket;
mod topology;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::model::{ClientName, Route};
use pybit_core::settings::{Factory, Settings};
use pybit_core::transport::{Capability, Command, CommandInbox, Hint, Inbox, Recipient, Transport};
use pybit_core::{Error, Result};
use tokio::task::JoinHandle;

pub use config::{QueueKind, RabbitOptions};

#[cfg(feature = "fuzz")]
pub use commands::fuzz_command;

use config::Broker;
use link::Link;

/// How long a connection may take to end in good order.
const GOODBYE: Duration = Duration::from_secs(3);

/// Opens `amqp:` and `amqps:` URLs: `amqp://pybit:secret@broker/farm`.
///
/// A broker that does not answer is waited for in the background: the transport is there at once, its `health` says what
/// is wrong, and the farm works without hints until then. A broker that refuses the user, the virtual host or the
/// certificate is a failure of `open`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RabbitFactory;

#[async_trait]
impl Factory<dyn Transport> for RabbitFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &["amqp", "amqps"]
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(RabbitTransport::open(settings).await?))
    }
}

/// Carries hints and commands over a broker.
#[derive(Debug)]
pub struct RabbitTransport {
    link: Arc<Link>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitTransport {
    /// Opens the broker that the settings name, as [`RabbitFactory`] does.
    ///
    /// - `Invalid`: the URL or a key is not acceptable, or the broker's certificate is not.
    /// - `Denied`: the broker refuses the user or the virtual host.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let link = Arc::new(Link::new(Broker::new(settings)?));
        let (keeper, first) = Link::start(&link);
        let transport = Self { link, keeper: Mutex::new(Some(keeper)) };
        match first.await {
            Ok(Err(refused)) if !refused.is_retryable() => Err(refused),
            _ => Ok(transport),
        }
    }
}

impl Drop for RabbitTransport {
    fn drop(&mut self) {
        self.link.stop();
    }
}

#[async_trait]
impl Transport for RabbitTransport {
    fn capability(&self) -> Capability {
        Capability { durable: true, redelivers: true, queues: true }
    }

    async fn serve_farm(&self, farm: &str) -> Result<()> {
        self.link.serve_farm(farm).await
    }

    async fn publish(&self, hint: &Hint) -> Result<()> {
        publish::hints(&self.link, std::slice::from_ref(hint)).await
    }

    async fn publish_all(&self, hints: &[Hint]) -> Result<()> {
        publish::hints(&self.link, hints).await
    }

    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        inbox::open(&self.link, client, routes, credit).await
    }

    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        publish::command(&self.link, to, command).await
    }

    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        commands::open(&self.link, client).await
    }

    async fn depth(&self, route: &Route) -> Result<u64> {
        publish::depth(&self.link, &self.link.session()?, route).await
    }

    async fn health(&self) -> Result<()> {
        self.link.health().await
    }

    fn foreign(&self) -> u64 {
        self.link.foreign()
    }

    async fn close(&self) {
        self.link.stop();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            let _ = tokio::time::timeout(GOODBYE, keeper).await;
        }
    }
}

/// The transport has been closed, by its owner.
fn closed() -> Error {
    Error::new(pybit_core::ErrorKind::Unavailable, "the connection to RabbitMQ has been closed")
}
