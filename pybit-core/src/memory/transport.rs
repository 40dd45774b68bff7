//! Hints and commands between the roles of one process.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::{Error, Result};
use crate::model::{ClientName, Route};
use crate::transport::{
    Capability, Command, CommandInbox, Delivery, Hint, Inbox, Receipt, Recipient, Transport,
};

/// Hints that wait on one route; beyond it the oldest is forgotten, and a hint that is sent again makes up for it.
const MOST_HINTS: usize = 1000;

/// Commands that wait for one listener; more say nothing new.
const MOST_COMMANDS: usize = 16;

/// Carries hints within its process. When it is dropped its inboxes end.
#[derive(Debug, Default)]
pub struct MemoryTransport {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Hints have come, or the transport has closed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    hints: BTreeMap<Route, VecDeque<Hint>>,
    listeners: Vec<(ClientName, mpsc::Sender<Command>)>,
    farm: Option<String>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a hint at the end of its queue, or back to its front.
    fn put(&self, hint: Hint, back: bool) {
        let mut state = self.state();
        let queue = state.hints.entry(hint.route.clone()).or_default();
        if back {
            queue.push_front(hint);
        } else {
            queue.push_back(hint);
        }
        if queue.len() > MOST_HINTS {
            queue.pop_front();
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.listeners.clear();
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn capability(&self) -> Capability {
        Capability { durable: false, redelivers: true, queues: true }
    }

    async fn serve_farm(&self, farm: &str) -> Result<()> {
        let mut state = self.shared.state();
        if *state.farm.get_or_insert_with(|| farm.to_owned()) == farm {
            return Ok(());
        }
        let message = "another farm sends over this transport; give each its own";
        Err(Error::conflict(message).with_code("foreign_farm").with_op("serve_farm"))
    }

    async fn publish(&self, hint: &Hint) -> Result<()> {
        self.shared.put(hint.clone(), false);
        Ok(())
    }

    async fn consume(
        &self,
        _: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        let credit = usize::try_from(credit).unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
        Ok(Box::new(MemoryInbox {
            shared: Arc::clone(&self.shared),
            routes: routes.to_vec(),
            turn: 0,
            credit: Arc::new(Semaphore::new(credit)),
        }))
    }

    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        let mut state = self.shared.state();
        state.listeners.retain(|(_, sender)| !sender.is_closed());
        for (client, sender) in &state.listeners {
            if matches!(to, Recipient::All) || *to == Recipient::Client(client.clone()) {
                // A full inbox already says all that another command could say.
                let _ = sender.try_send(command.clone());
            }
        }
        Ok(())
    }

    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        let (sender, receiver) = mpsc::channel(MOST_COMMANDS);
        self.shared.state().listeners.push((client.clone(), sender));
        Ok(Box::new(MemoryCommands { receiver }))
    }

    async fn depth(&self, route: &Route) -> Result<u64> {
        Ok(self.shared.state().hints.get(route).map_or(0, |queue| queue.len() as u64))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryInbox {
    shared: Arc<Shared>,
    routes: Vec<Route>,
    /// The route that is looked at first: another each time, so that a busy one does not starve the rest.
    turn: usize,
    credit: Arc<Semaphore>,
}

/// What an inbox finds when it looks.
enum Found {
    Hint(Hint),
    Nothing,
    Closed,
}

impl MemoryInbox {
    fn look(&mut self) -> Found {
        let mut state = self.shared.state();
        if state.closed {
            return Found::Closed;
        }
        for step in 0..self.routes.len() {
            let at = (self.turn + step) % self.routes.len();
            let queue = self.routes.get(at).and_then(|route| state.hints.get_mut(route));
            if let Some(hint) = queue.and_then(VecDeque::pop_front) {
                self.turn = at + 1;
                return Found::Hint(hint);
            }
        }
        Found::Nothing
    }
}

#[async_trait]
impl Inbox for MemoryInbox {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let Ok(permit) = Arc::clone(&self.credit).acquire_owned().await else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        loop {
            // Registered before the look, so that nothing that comes between look and wait is missed.
            let mut changed = pin!(shared.changed.notified());
            changed.as_mut().enable();
            match self.look() {
                Found::Hint(hint) => {
                    let shared = Arc::clone(&shared);
                    let unacknowledged = Some(hint.clone());
                    let receipt = MemoryReceipt { shared, unacknowledged, _credit: permit };
                    return Ok(Some(Delivery { hint, receipt: Box::new(receipt) }));
                }
                Found::Closed => return Ok(None),
                Found::Nothing => changed.await,
            }
        }
    }
}

/// Holds its share of the credit; dropped with its hint, the hint goes back to the front of its queue.
#[derive(Debug)]
struct MemoryReceipt {
    shared: Arc<Shared>,
    unacknowledged: Option<Hint>,
    _credit: OwnedSemaphorePermit,
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn ack(mut self: Box<Self>) -> Result<()> {
        self.unacknowledged = None;
        Ok(())
    }
}

impl Drop for MemoryReceipt {
    fn drop(&mut self) {
        if let Some(hint) = self.unacknowledged.take() {
            self.shared.put(hint, true);
        }
    }
}

#[derive(Debug)]
struct MemoryCommands {
    receiver: mpsc::Receiver<Command>,
}

#[async_trait]
impl CommandInbox for MemoryCommands {
    async fn next(&mut self) -> Result<Option<Command>> {
        Ok(self.receiver.recv().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobId;

    fn route() -> Route {
        Route {
            dist: "Debian".parse().unwrap(),
            arch: "amd64".parse().unwrap(),
            suite: "sid".parse().unwrap(),
            format: "deb".parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_full_queue_forgets_the_oldest_hint() {
        let transport = MemoryTransport::default();
        for n in 0..=MOST_HINTS {
            let job = JobId(i64::try_from(n).unwrap());
            transport.publish(&Hint::new(route(), Some(job))).await.unwrap();
        }
        assert_eq!(transport.depth(&route()).await.unwrap(), MOST_HINTS as u64);
        let client = "tahr".parse().unwrap();
        let mut inbox = transport.consume(&client, &[route()], 1).await.unwrap();
        assert_eq!(inbox.next().await.unwrap().unwrap().hint.job, Some(JobId(1)));
    }

    #[tokio::test]
    async fn inboxes_end_with_their_transport() {
        let transport = MemoryTransport::default();
        let client = "tahr".parse().unwrap();
        let mut hints = transport.consume(&client, &[route()], 1).await.unwrap();
        let mut commands = transport.commands(&client).await.unwrap();
        drop(transport);
        assert!(hints.next().await.unwrap().is_none());
        assert!(commands.next().await.unwrap().is_none());
    }
}
