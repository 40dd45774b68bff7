//! Hints straight between server and build clients, without a broker: `zmq+bind:` at the server, `zmq:` at a client.
//!
//! | file | what |
//! |---|---|
//! | `config.rs`, `keys.rs` | the URLs, the keys beside them, and the CURVE keys |
//! | `wire.rs` | what the two ends say |
//! | `book.rs`, `server.rs` | what the server knows, and the thread that owns its sockets |
//! | `desk.rs`, `client.rs`, `inbox.rs` | the same of a client |
//! | `mailbox.rs`, `socket.rs` | what both threads use |
//!
//! Hints wait in the server's memory until a client takes them, and again when that client was lost: nothing is durable.
//! After a restart of the server the database brings the hints again. A client announces its inboxes on each connection and
//! once a beat; one that is silent for three beats has none. Several servers share nothing: a client connects to each.
//!
//! libzmq's sockets belong to one thread each side; the rest of the process talks to it over a mailbox and never waits for a
//! socket.

mod book;
mod client;
mod config;
mod desk;
mod inbox;
mod keys;
mod mailbox;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::model::{ClientName, Route};
use pybit_core::settings::{Factory, Settings};
use pybit_core::transport::{Capability, Command, CommandInbox, Hint, Inbox, Recipient, Transport};
use pybit_core::{Error, ErrorKind, Result};
use zmq::Context;

pub use config::{BindOptions, ConnectOptions};
#[cfg(feature = "fuzz")]
pub use wire::fuzz_frame;

use client::Client;
use config::{Bind, Connect};
use server::Server;

/// How long the threads may take to end.
const GOODBYE: Duration = Duration::from_secs(3);

/// Opens `zmq+bind://127.0.0.1:5557` as the server, and `zmq://farm1:5557,farm2:5557` as a client of each of these servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ZeroFactory;

#[async_trait]
impl Factory<dyn Transport> for ZeroFactory {
    fn schemes(&self) -> &'static [&'static str] {
        &["zmq", "zmq+bind"]
    }

    async fn open(&self, settings: &Settings) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(ZeroTransport::open(settings)?))
    }
}

/// One end: the server's, which may listen too (`pybit up` does), or a client's, which only listens.
#[derive(Debug)]
pub struct ZeroTransport {
    end: End,
    farm: Mutex<Option<String>>,
}

enum End {
    Server {
        server: Server,
        context: Context,
        beat: Duration,
        /// Listens to its own server, started when somebody listens.
        inside: Mutex<Option<Arc<Client>>>,
    },
    Client(Arc<Client>),
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server { server, .. } => f.debug_tuple("Server").field(&server.endpoint).finish(),
            Self::Client(_) => f.write_str("Client"),
        }
    }
}

impl ZeroTransport {
    /// Opens the end that the settings name, as [`ZeroFactory`] does.
    ///
    /// - `Invalid`: the URL, a key or a key file is not acceptable, or an address that is not loopback has no keys.
    /// - `Unsupported`, code `no_curve`: keys are wanted, and this libzmq has no CURVE.
    /// - `Conflict`: another process listens on this address.
    pub fn open(settings: &Settings) -> Result<Self> {
        let context = Context::new();
        let end = if settings.scheme() == "zmq" {
            End::Client(Arc::new(Client::start(&context, &Connect::new(settings)?)?))
        } else {
            let bind = Bind::new(settings)?;
            let server = Server::start(&context, &bind)?;
            End::Server { server, context, beat: bind.beat, inside: Mutex::new(None) }
        };
        Ok(Self { end, farm: Mutex::new(None) })
    }

    /// Where the server listens, with its real port; `None` at a client's end.
    pub fn endpoint(&self) -> Option<&str> {
        match &self.end {
            End::Server { server, .. } => Some(&server.endpoint),
            End::Client(_) => None,
        }
    }

    fn server(&self) -> Result<&Server> {
        match &self.end {
            End::Server { server, .. } => Ok(server),
            End::Client(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "zmq: is a client's end and only listens; a server's transport is zmq+bind:",
            )),
        }
    }

    fn client(&self) -> Result<Arc<Client>> {
        let (context, beat, inside) = match &self.end {
            End::Client(client) => return Ok(Arc::clone(client)),
            End::Server { context, beat, inside, .. } => (context, *beat, inside),
        };
        let mut inside = inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*inside {
            return Ok(Arc::clone(client));
        }
        let own = config::Server { endpoint: server::INSIDE.to_owned(), key: None };
        let connect = Connect { servers: vec![own], keys: None, beat };
        Ok(Arc::clone(inside.insert(Arc::new(Client::start(context, &connect)?))))
    }
}

#[async_trait]
impl Transport for ZeroTransport {
    fn capability(&self) -> Capability {
        Capability { durable: false, redelivers: true, queues: true }
    }

    async fn serve_farm(&self, farm: &str) -> Result<()> {
        self.server()?;
        let mut known = self.farm.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get_or_insert_with(|| farm.to_owned()) == farm {
            return Ok(());
        }
        let message = "another farm sends over this address; give each its own";
        Err(Error::conflict(message).with_code("foreign_farm").with_op("serve_farm"))
    }

    async fn publish(&self, hint: &Hint) -> Result<()> {
        self.server()?.publish(vec![hint.clone()]).await
    }

    async fn publish_all(&self, hints: &[Hint]) -> Result<()> {
        self.server()?.publish(hints.to_vec()).await
    }

    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        self.client()?.consume(client, routes, credit).await
    }

    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        self.server()?.command(to, command).await
    }

    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        self.client()?.commands(client).await
    }

    async fn depth(&self, route: &Route) -> Result<u64> {
        self.server()?.depth(route).await
    }

    async fn health(&self) -> Result<()> {
        match &self.end {
            // Its thread answers: that is all there is to a server without a broker.
            End::Server { server, .. } => server.answers().await,
            End::Client(client) => client.health().await,
        }
    }

    fn foreign(&self) -> u64 {
        match &self.end {
            End::Server { server, .. } => server.foreign.count(),
            End::Client(client) => client.foreign.count(),
        }
    }

    async fn close(&self) {
        let (server, client) = match &self.end {
            End::Client(client) => (None, Some(Arc::clone(client))),
            End::Server { server, inside, .. } => {
                let inside = inside.lock().unwrap_or_else(PoisonError::into_inner).take();
                (Some(server), inside)
            }
        };
        let ended = async {
            if let Some(client) = client {
                client.stop();
                client.ended().await;
            }
            if let Some(server) = server {
                server.stop();
                server.ended().await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, ended).await;
    }
}

/// The transport has been closed, by its owner.
fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the ZeroMQ transport has been closed")
}
