//! Hints and commands: what makes the farm quick, and never what makes it right.
//!
//! A message says that a route may have work. It carries no source, no command line and no secret; losing, repeating
//! or reordering messages costs time, never a job.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{ClientName, JobId, Route};

/// The version of the messages that this program writes.
pub const WIRE_VERSION: u32 = 1;

/// "This route may have work."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// [`WIRE_VERSION`] of the writer.
    pub version: u32,
    /// The route.
    pub route: Route,
    /// The job that became claimable; a re-hint of a route names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
}

impl Hint {
    /// A hint for `route`.
    pub fn new(route: Route, job: Option<JobId>) -> Self {
        Self { version: WIRE_VERSION, route, job }
    }

    /// The longest message that is read, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Reads a message; what is too long, truncated, not ours or of another version is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Error::invalid(format!(
                "the message is longer than {} bytes",
                Self::MAX_BYTES
            )));
        }
        let hint: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::invalid("the message is not a pybit hint").with_source(e))?;
        if hint.version == WIRE_VERSION {
            return Ok(hint);
        }
        Err(Error::new(
            crate::error::ErrorKind::Unsupported,
            format!("the message has version {}", hint.version),
        ))
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What the server tells clients out of turn; each is also said in the next heartbeat's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "command")]
pub enum Command {
    /// Send a heartbeat now: its answer has something to say (a cancelled job, a drain).
    Beat,
}

/// Whom a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// One client.
    Client(ClientName),
    /// Every client.
    All,
}

/// What a transport can do; conformance cases that need more are left out by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// A hint that was accepted outlives a restart of the broker.
    pub durable: bool,
    /// A hint that was received and not acknowledged is delivered again.
    pub redelivers: bool,
    /// Hints for a route wait until a client consumes it.
    pub queues: bool,
}

/// Carries hints from server to clients, and commands.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// What it can do.
    fn capability(&self) -> Capability;

    /// Says which farm sends over this transport; a server says it before it sends anything, clients never do. `farm` is
    /// a name that no other farm has ([`AccountStore::farm_id`](crate::storage::AccountStore::farm_id)).
    ///
    /// - `another_farm_is_refused`: `Conflict`, code `foreign_farm`, where another farm sends over the same broker under
    ///   the same names; saying the same again is fine.
    ///
    /// A broker that is away is asked when it is back, before anything is sent; `publish` and `health` then fail with it.
    async fn serve_farm(&self, farm: &str) -> Result<()>;

    /// Publishes a hint.
    ///
    /// - `a_published_hint_reaches_a_consumer_of_its_route`: one consumer of that route, and of no other, gets it.
    /// - `a_hint_waits_for_a_consumer`: where the transport queues, it is delivered to one that comes later.
    /// - `ok_means_held`: `Ok` says that the broker holds it, or that the transport keeps nothing at all.
    ///
    /// `Unavailable` says that nobody holds it: publish it again later. Code `unroutable`: the broker is there and has no
    /// queue for it.
    async fn publish(&self, hint: &Hint) -> Result<()>;

    /// Publishes many hints, faster than one after the other where the transport can.
    ///
    /// - `ok_of_many_means_each_is_held`: after a failure any of them may be held too.
    async fn publish_all(&self, hints: &[Hint]) -> Result<()> {
        for hint in hints {
            self.publish(hint).await?;
        }
        Ok(())
    }

    /// Listens to routes as a client, with at most `credit` unacknowledged hints at a time.
    ///
    /// - `credit_bounds_unacknowledged_hints`: no more than `credit` are delivered before one is acknowledged.
    /// - `an_unacknowledged_hint_is_delivered_again`: where the transport redelivers, when its receipt is dropped, also
    ///   together with its inbox, and to whichever consumer is there; an acknowledged one is not.
    ///
    /// Where the transport goes over a network that was lost, the inbox is silent until it is back and then listens
    /// again by itself; receipts from before are void, and their hints come again where the transport redelivers.
    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>>;

    /// Sends a command; a client that does not listen misses it.
    ///
    /// - `commands_reach_their_client_or_all`: only the named client, or every listening one; every listener of a client
    ///   where it has several.
    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()>;

    /// Listens to the commands for a client.
    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>>;

    /// Hints that wait on a route; 0 where the transport keeps none.
    ///
    /// - `depth_counts_waiting_hints`: those of this route that no consumer has yet.
    async fn depth(&self, route: &Route) -> Result<u64>;

    /// Whether messages can be sent now, or, for a client, whether they can arrive.
    async fn health(&self) -> Result<()>;

    /// Messages that were not pybit's, too long, truncated or of another version: each was kept out and counted here.
    fn foreign(&self) -> u64 {
        0
    }

    /// Ends every connection in good order, where there are any; inboxes then end. To be called before a process ends.
    async fn close(&self) {}
}

/// Where a client's hints arrive.
#[async_trait]
pub trait Inbox: Send + fmt::Debug {
    /// The next hint; `None` when the transport has closed and the client must consume again.
    ///
    /// - `a_wait_that_is_given_up_loses_no_hint`: the future may be dropped at any moment; what it had not returned comes
    ///   with the next call.
    async fn next(&mut self) -> Result<Option<Delivery>>;
}

/// A hint and the way to acknowledge it.
#[derive(Debug)]
pub struct Delivery {
    /// The hint.
    pub hint: Hint,
    /// Acknowledges it; dropped unacknowledged it is delivered again, where the transport is capable of that.
    pub receipt: Box<dyn Receipt>,
}

/// Acknowledges one hint.
#[async_trait]
pub trait Receipt: Send + Sync + fmt::Debug {
    /// The hint was acted upon, whatever came of it. `Unavailable`: the transport was lost meanwhile, and the hint comes
    /// again where the transport redelivers.
    async fn ack(self: Box<Self>) -> Result<()>;
}

/// Where a client's commands arrive.
#[async_trait]
pub trait CommandInbox: Send + fmt::Debug {
    /// The next command; `None` when the transport has closed. The future may be dropped at any moment.
    async fn next(&mut self) -> Result<Option<Command>>;
}
