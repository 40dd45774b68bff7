//! Commands in.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use pybit_core::Result;
use pybit_core::model::ClientName;
use pybit_core::transport::{Command, CommandInbox};
use tokio::sync::{mpsc, oneshot, watch};

use super::inbox::ended;
use super::link::{Link, Session, State, pause};
use super::topology;

/// Commands that wait for the listener; more say nothing new.
const MOST: usize = 16;

/// Listens to the commands for a client. Returns when it listens, or at once while there is no broker.
pub(super) async fn open(link: &Arc<Link>, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
    let (commands_in, commands) = mpsc::channel(MOST);
    let (tell, told) = oneshot::channel();
    let listener = Listener {
        link: Arc::clone(link),
        client: client.clone(),
        commands: commands_in,
        ready: Some(tell),
    };
    tokio::spawn(listener.run());
    match told.await {
        Ok(Err(e)) => Err(e),
        _ => Ok(Box::new(RabbitCommands(commands))),
    }
}

#[derive(Debug)]
struct RabbitCommands(mpsc::Receiver<Command>);

#[async_trait]
impl CommandInbox for RabbitCommands {
    async fn next(&mut self) -> Result<Option<Command>> {
        Ok(self.0.recv().await)
    }
}

struct Listener {
    link: Arc<Link>,
    client: ClientName,
    commands: mpsc::Sender<Command>,
    /// Told once: it listens, or the broker refuses.
    ready: Option<oneshot::Sender<Result<()>>>,
}

impl Listener {
    /// Listens on one connection after the other, until its inbox is gone.
    async fn run(mut self) {
        let mut state = self.link.watch();
        let mut failures = 0;
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Up(session) => match self.serve(&session).await {
                    Ok(()) => return,
                    Err(e) => {
                        if let Some(ready) =
                            self.ready.take().filter(|_| session.status().connected())
                        {
                            let _ = ready.send(Err(self.link.failed("commands", e)));
                            return;
                        }
                        tracing::debug!(client = %self.client, "commands lost their channel: {e}");
                        if session.status().connected() {
                            failures += 1;
                            tokio::time::sleep(pause(failures)).await;
                            continue;
                        }
                    }
                },
                State::Away(_) => drop(self.ready.take()),
                State::Closed => return,
            }
            if !self.wait(&mut state).await {
                return;
            }
        }
    }

    /// Waits for another state of the link; `false` when the inbox is gone.
    async fn wait(&self, state: &mut watch::Receiver<State>) -> bool {
        tokio::select! {
            changed = state.changed() => changed.is_ok(),
            () = self.commands.closed() => false,
        }
    }

    /// Takes commands until the inbox is gone, `Ok`, or the channel is.
    async fn serve(&mut self, session: &Session) -> lapin::Result<()> {
        let channel = session.create_channel().await?;
        let queue = topology::listener(&channel, self.link.names(), &self.client).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let name = queue.as_str().into();
        let tag = "".into();
        let mut consumer = channel.basic_consume(name, tag, options, FieldTable::default()).await?;
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Ok(()));
        }
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
