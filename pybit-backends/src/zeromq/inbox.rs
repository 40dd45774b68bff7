//! Inboxes and receipts: what the owner holds, without a word to a socket.

use async_trait::async_trait;
use pybit_core::transport::{Command, CommandInbox, Delivery, Inbox, Receipt};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::client::Order;
use super::desk::Held;
use super::mailbox::Mailbox;
use super::wire::InboxId;

/// Tells the thread when an inbox is dropped.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) inbox: InboxId,
    pub(super) orders: Mailbox<Order>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A thread that has ended has no inboxes.
        let _ = self.orders.put(Order::Gone(self.inbox));
    }
}

#[derive(Debug)]
pub(super) struct ZeroInbox {
    pub(super) hints: mpsc::Receiver<Delivery>,
    pub(super) _owner: Owner,
}

#[async_trait]
impl Inbox for ZeroInbox {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(self.hints.recv().await)
    }
}

#[derive(Debug)]
pub(super) struct ZeroCommands {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) _owner: Owner,
}

#[async_trait]
impl CommandInbox for ZeroCommands {
    async fn next(&mut self) -> Result<Option<Command>> {
        Ok(self.commands.recv().await)
    }
}

/// Goes back to the thread when it is dropped.
#[derive(Debug)]
pub(super) struct ZeroReceipt {
    pub(super) held: Held,
    pub(super) orders: Option<Mailbox<Order>>,
}

#[async_trait]
impl Receipt for ZeroReceipt {
    async fn ack(mut self: Box<Self>) -> Result<()> {
        let (tell, told) = oneshot::channel();
        if let Some(orders) = self.orders.take() {
            orders.put(Order::Done(self.held, tell))?;
        }
        if told.await == Ok(true) {
            return Ok(());
        }
        let message =
            "the connection to the server was lost before a hint was acknowledged; it comes again";
        Err(Error::new(ErrorKind::Unavailable, message).with_op("ack"))
    }
}

impl Drop for ZeroReceipt {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.take() {
            let _ = orders.put(Order::Back(self.held));
        }
    }
}
