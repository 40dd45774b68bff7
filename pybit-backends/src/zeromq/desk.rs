//! What a client knows: its inboxes, and what is in whose hands. No sockets: events in, messages out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use pybit_core::model::{ClientName, Route};
use pybit_core::transport::{Command, Delivery, Hint, WIRE_VERSION};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::inbox::ZeroReceipt;
use super::wire::{InboxId, Number, ToClient, ToServer};

/// A server, by its place in the URL.
pub(super) type Place = usize;

/// A hint of a server in this client's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) inbox: InboxId,
    pub(super) place: Place,
    pub(super) number: Number,
    /// The connection that brought it, counted for each server: what an earlier one brought is void.
    pub(super) connection: u64,
}

/// An inbox to be opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) inbox: InboxId,
    pub(super) client: ClientName,
    pub(super) kind: Kind,
    /// Told once: the servers know it, or refuse.
    pub(super) ready: oneshot::Sender<Result<()>>,
}

/// What an inbox takes.
#[derive(Debug)]
pub(super) enum Kind {
    Hints { routes: Vec<Route>, credit: u32, hints: mpsc::Sender<Delivery> },
    Commands { commands: mpsc::Sender<Command> },
}

/// Makes the receipt of a hint.
pub(super) type MakeReceipt = Box<dyn Fn(Held) -> ZeroReceipt + Send>;

/// A client's knowledge.
pub(super) struct Desk {
    lines: Vec<Line>,
    inboxes: BTreeMap<InboxId, Entry>,
    out: VecDeque<(Place, ToServer)>,
    make_receipt: MakeReceipt,
    foreign: u64,
}

/// The way to one server.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    up: bool,
    connection: u64,
}

struct Entry {
    client: ClientName,
    kind: Kind,
    ready: Option<oneshot::Sender<Result<()>>>,
    /// Servers that know this inbox.
    known: BTreeSet<Place>,
    /// Hints that arrived while the owner has all that its credit allows: servers do not know of each other.
    waiting: VecDeque<(Held, Hint)>,
    held: BTreeSet<Held>,
    /// Its owner is gone: only receipts are still about.
    leaving: bool,
}

impl Desk {
    pub(super) fn new(servers: usize, make_receipt: MakeReceipt) -> Self {
        Self {
            lines: vec![Line::default(); servers],
            inboxes: BTreeMap::new(),
            out: VecDeque::new(),
            make_receipt,
            foreign: 0,
        }
    }

    /// The next message to send.
    pub(super) fn next_message(&mut self) -> Option<(Place, ToServer)> {
        self.out.pop_front()
    }

    /// Whether there is a connection to this server.
    pub(super) fn is_up(&self, place: Place) -> bool {
        self.lines[place].up
    }

    pub(super) fn has_inboxes(&self) -> bool {
        !self.inboxes.is_empty()
    }

    /// Hints that are no hints of this client's, since the last call.
    pub(super) fn take_foreign(&mut self) -> u64 {
        std::mem::take(&mut self.foreign)
    }

    /// There is a new connection to this server.
    pub(super) fn connected(&mut self, place: Place) {
        self.lost(place);
        self.lines[place].up = true;
        self.announce(place);
    }

    /// There is none any more: what came over it is void.
    pub(super) fn lost(&mut self, place: Place) {
        self.lines[place].up = false;
        self.lines[place].connection += 1;
        let ids: Vec<_> = self.inboxes.keys().copied().collect();
        for inbox in ids {
            if let Some(entry) = self.inboxes.get_mut(&inbox) {
                entry.known.remove(&place);
                entry.held.retain(|h| h.place != place);
                entry.waiting.retain(|(h, _)| h.place != place);
            }
            self.hand_out(inbox);
            self.leave_if_done(inbox);
        }
    }

    /// Says again what listens here, and looks for room in the inboxes.
    pub(super) fn beat(&mut self) {
        for place in 0..self.lines.len() {
            self.announce(place);
        }
        let ids: Vec<_> = self.inboxes.keys().copied().collect();
        for inbox in ids {
            self.hand_out(inbox);
        }
    }

    pub(super) fn open(&mut self, opening: Opening) {
        let Opening { inbox, client, kind, ready } = opening;
        let entry = Entry {
            client,
            kind,
            ready: Some(ready),
            known: BTreeSet::new(),
            waiting: VecDeque::new(),
            held: BTreeSet::new(),
            leaving: false,
        };
        for (place, _) in self.lines.iter().enumerate().filter(|(_, line)| line.up) {
            self.out.push_back((place, entry.announcement(inbox)));
        }
        self.inboxes.insert(inbox, entry);
    }

    /// The owner of an inbox is gone.
    pub(super) fn gone(&mut self, inbox: InboxId) {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return };
        entry.leaving = true;
        for (held, _) in std::mem::take(&mut entry.waiting) {
            self.out.push_back((held.place, ToServer::Back { inbox, number: held.number }));
        }
        for place in entry.known.iter().copied().filter(|_| !entry.held.is_empty()) {
            self.out.push_back((place, entry.announcement(inbox)));
        }
        self.leave_if_done(inbox);
    }

    /// A receipt has spoken: what is to be sent, or nothing where it is void.
    pub(super) fn settle(&mut self, held: Held, done: bool) -> Option<(Place, ToServer)> {
        let Held { inbox, place, number, connection } = held;
        let entry = self.inboxes.get_mut(&inbox)?;
        if connection != self.lines[place].connection || !entry.held.remove(&held) {
            return None;
        }
        let word =
            if done { ToServer::Done { inbox, number } } else { ToServer::Back { inbox, number } };
        Some((place, word))
    }

    /// To be called after what [`Desk::settle`] gave was sent, if anything: there is room for more, or nothing left to wait
    /// for.
    pub(super) fn settled(&mut self, inbox: InboxId) {
        self.hand_out(inbox);
        self.leave_if_done(inbox);
    }

    /// What a server has said.
    pub(super) fn hear(&mut self, place: Place, message: ToClient) {
        match message {
            ToClient::Heard { inbox } => self.heard(place, inbox),
            ToClient::Refused { inbox, why } => self.refused(inbox, &why),
            ToClient::Hint { inbox, number, hint } => {
                let connection = self.lines[place].connection;
                self.hinted(Held { inbox, place, number, connection }, hint);
            }
            ToClient::Command { inbox, command } => {
                if let Some(Entry { kind: Kind::Commands { commands }, .. }) =
                    self.inboxes.get(&inbox)
                {
                    // A full inbox already says all that another command could say.
                    let _ = commands.try_send(command);
                }
            }
        }
    }

    fn heard(&mut self, place: Place, inbox: InboxId) {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return };
        entry.known.insert(place);
        let everywhere =
            self.lines.iter().enumerate().all(|(n, line)| !line.up || entry.known.contains(&n));
        if everywhere && let Some(ready) = entry.ready.take() {
            let _ = ready.send(Ok(()));
        }
    }

    fn refused(&mut self, inbox: InboxId, why: &str) {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return };
        let message = format!("the server refuses to be listened to: {why}");
        tracing::debug!(client = %entry.client, "{message}");
        if let Some(ready) = entry.ready.take() {
            let _ = ready.send(Err(Error::new(ErrorKind::Denied, message).with_op("consume")));
        }
    }

    fn hinted(&mut self, held: Held, hint: Hint) {
        let Held { inbox, place, number, .. } = held;
        let entry = self.inboxes.get_mut(&inbox).filter(|e| !e.leaving);
        let Some(Entry { kind: Kind::Hints { routes, .. }, waiting, .. }) = entry else {
            self.out.push_back((place, ToServer::Back { inbox, number }));
            return;
        };
        if hint.version != WIRE_VERSION || !routes.contains(&hint.route) {
            self.foreign += 1;
            self.out.push_back((place, ToServer::Done { inbox, number }));
            return;
        }
        waiting.push_back((held, hint));
        self.hand_out(inbox);
    }

    /// Hands as much to the owner as its credit allows.
    fn hand_out(&mut self, inbox: InboxId) {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return };
        let Kind::Hints { credit, hints, .. } = &entry.kind else { return };
        let credit = usize::try_from(*credit).unwrap_or(usize::MAX);
        // An inbox is full while its owner has not read what a lost connection has voided. To give a hint back then would
        // have the server send it again at once, and so on.
        while entry.held.len() < credit && hints.capacity() > 0 {
            let Some((held, hint)) = entry.waiting.pop_front() else { return };
            entry.held.insert(held);
            let receipt = Box::new((self.make_receipt)(held));
            // Where the owner is gone, the dropped receipt gives the hint back.
            let _ = hints.try_send(Delivery { hint, receipt });
        }
    }

    fn leave_if_done(&mut self, inbox: InboxId) {
        if self.inboxes.get(&inbox).is_some_and(|e| e.leaving && e.held.is_empty()) {
            self.inboxes.remove(&inbox);
            for (place, _) in self.lines.iter().enumerate().filter(|(_, line)| line.up) {
                self.out.push_back((place, ToServer::Bye { inbox }));
            }
        }
    }

    fn announce(&mut self, place: Place) {
        if self.lines[place].up {
            let all = self.inboxes.iter().map(|(inbox, entry)| (place, entry.announcement(*inbox)));
            self.out.extend(all);
        }
    }

    /// Ends everything: what to say to the servers.
    pub(super) fn farewell(&mut self) {
        let inboxes: HashMap<_, _> = std::mem::take(&mut self.inboxes).into_iter().collect();
        for (place, _) in self.lines.iter().enumerate().filter(|(_, line)| line.up) {
            let byes = inboxes.keys().map(|inbox| (place, ToServer::Bye { inbox: *inbox }));
            self.out.extend(byes);
        }
    }
}

impl Entry {
    fn announcement(&self, inbox: InboxId) -> ToServer {
        let client = self.client.clone();
        match &self.kind {
            Kind::Hints { routes, credit, .. } => {
                let credit = if self.leaving { 0 } else { *credit };
                ToServer::Hints { inbox, client, routes: routes.clone(), credit }
            }
            Kind::Commands { .. } => ToServer::Commands { inbox, client },
        }
    }
}
