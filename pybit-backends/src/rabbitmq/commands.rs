//! Commands in.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use pybit_core::Result;
use pybit_core::model::ClientName;
use pybit_core::transport::{Command, CommandInbox};
use tokio::sync::mpsc;

use super::attend::{self, Listener, Ready, ended};
use super::link::{Link, Session};
use super::topology;

/// Commands that wait for the listener; more say nothing new.
const MOST: usize = 16;

/// Listens to the commands for a client. Returns when it listens, or at once while there is no broker.
pub(super) async fn open(link: &Arc<Link>, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
    let (commands_in, commands) = mpsc::channel(MOST);
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
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let name = queue.as_str().into();
        let tag = "".into();
        let mut consumer = channel.basic_consume(name, tag, options, FieldTable::default()).await?;
        ready.yes();
        loop {
            tokio::select! {
                () = self.commands.closed() => break,
                delivery = consumer.next() => match delivery {
                    Some(delivery) => self.hand_out(&queue, &delivery?.data),
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
    fn hand_out(&self, queue: &str, body: &[u8]) {
        match serde_json::from_slice(body) {
            // A full inbox already says all that another command could say.
            Ok(command) => drop(self.commands.try_send(command)),
            Err(e) => {
                let why = pybit_core::Error::invalid(format!("it is no command ({e})"));
                self.link.count_foreign(queue, &why);
            }
        }
    }
}
