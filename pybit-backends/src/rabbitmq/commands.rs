//! Commands in, and how a command is written.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use pybit_core::model::ClientName;
use pybit_core::transport::{Command, CommandInbox, Hint, WIRE_VERSION};
use pybit_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::attend::{self, Listener, Ready, ended};
use super::link::{Link, Session};
use super::topology;

/// Commands that wait for the listener; more say nothing new.
const MOST: u16 = 16;

/// A command as it travels.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    #[serde(flatten)]
    command: Command,
}

/// Writes a command.
pub(super) fn encode(command: &Command) -> Result<Vec<u8>> {
    let written = Written { version: WIRE_VERSION, command: command.clone() };
    serde_json::to_vec(&written)
        .map_err(|e| Error::internal("a command cannot be written").with_source(e))
}

/// Reads a command; what is too long, truncated, not ours or of another version is refused, as of a hint.
fn decode(bytes: &[u8]) -> Result<Command> {
    if bytes.len() > Hint::MAX_BYTES {
        return Err(Error::invalid(format!("it is longer than {} bytes", Hint::MAX_BYTES)));
    }
    let written: Written = serde_json::from_slice(bytes)
        .map_err(|e| Error::invalid(format!("it is no command ({e})")))?;
    if written.version == WIRE_VERSION {
        return Ok(written.command);
    }
    Err(Error::new(ErrorKind::Unsupported, format!("it has version {}", written.version)))
}

/// A command as it travels, for `make fuzz`.
///
/// # Panics
///
/// Where what is taken is not written and read the same.
#[cfg(feature = "fuzz")]
pub fn fuzz_command(bytes: &[u8]) {
    let Ok(command) = decode(bytes) else { return };
    let again = encode(&command).and_then(|written| decode(&written));
    assert_eq!(again.ok(), Some(command));
}

/// Listens to the commands for a client. Returns when it listens, or at once while there is no broker.
pub(super) async fn open(link: &Arc<Link>, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
    let (commands_in, commands) = mpsc::channel(usize::from(MOST));
    let ear = Ear { link: Arc::clone(link), client: client.clone(), commands: commands_in };
    attend::start(link, ear).await?;
    Ok(Box::new(RabbitCommands(commands)))
}

#[derive(Debug)]
struct RabbitCommands(mpsc::Receiver<Command>);

#[async_trait]
impl CommandInbox for RabbitCommands {
    async fn next(&mut self) -> Result<Option<Command>> {
        Ok(self.0.recv().await)
    }
}

struct Ear {
    link: Arc<Link>,
    client: ClientName,
    commands: mpsc::Sender<Command>,
}

impl Listener for Ear {
    const OP: &'static str = "commands";

    async fn serve(&mut self, session: &Session, ready: &mut Ready) -> lapin::Result<()> {
        let channel = session.create_channel().await?;
        let queue = topology::listener(&channel, self.link.names(), &self.client).await?;
        channel.basic_qos(MOST, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let name = queue.as_str().into();
        let tag = "".into();
        let mut consumer = channel.basic_consume(name, tag, options, FieldTable::default()).await?;
        ready.yes();
        loop {
            tokio::select! {
                () = self.commands.closed() => break,
                delivery = consumer.next() => match delivery {
                    Some(delivery) => self.hand_out(&queue, delivery?).await?,
                    None => return Err(ended()),
                },
            }
        }
        topology::drop_listener(&channel, &queue).await?;
        topology::close(&channel).await;
        Ok(())
    }

    async fn until_unwanted(&mut self) {
        self.commands.closed().await;
    }
}

impl Ear {
    /// What is a command is acknowledged; anything else is rejected, which makes it a dead letter.
    async fn hand_out(&self, queue: &str, delivery: Delivery) -> lapin::Result<()> {
        match decode(&delivery.data) {
            Ok(command) => {
                // A full inbox already says all that another command could say.
                let _ = self.commands.try_send(command);
                delivery.ack(BasicAckOptions::default()).await.map(drop)
            }
            Err(why) => {
                self.link.count_foreign(queue, &why);
                delivery.reject(BasicRejectOptions { requeue: false }).await.map(drop)
            }
        }
    }
}
