//! What the server knows: waiting hints, inboxes, and who has what in hand. Pure: events in, messages out.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use pybit_core::model::{ClientName, Route};
use pybit_core::transport::{Command, Hint, Recipient};

use super::wire::{InboxId, Number, ToClient, ToServer};

/// Hints that wait on one route; beyond it the oldest is forgotten, and a hint that is sent again makes up for it.
const MOST_HINTS: usize = 1000;
/// Inboxes of all clients; more are refused.
const MOST_INBOXES: usize = 20_000;

/// A connection, as the socket names it.
pub(super) type Peer = Vec<u8>;

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) peer: &'a [u8],
    /// The client that this connection's key belongs to; any where there are no keys.
    pub(super) owner: Option<&'a str>,
}

/// The server's knowledge, in memory only.
#[derive(Debug)]
pub(super) struct Book {
    patience: Duration,
    waiting: BTreeMap<Route, VecDeque<Hint>>,
    inboxes: BTreeMap<InboxId, Entry>,
    last_number: Number,
    last_turn: u64,
    out: VecDeque<(Peer, ToClient)>,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    owner: Option<String>,
    client: ClientName,
    heard: Instant,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Hints(Hands),
    Commands,
}

#[derive(Debug)]
struct Hands {
    routes: Vec<Route>,
    credit: usize,
    held: BTreeMap<Number, Hint>,
    /// When it last got a hint, counted in hints: the one that waits longest is next.
    turn: u64,
}

impl Book {
    /// An inbox that was silent for longer than `patience` is gone.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            waiting: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            last_number: 0,
            last_turn: 0,
            out: VecDeque::new(),
        }
    }

    /// The next message to send.
    pub(super) fn next_message(&mut self) -> Option<(Peer, ToClient)> {
        self.out.pop_front()
    }

    pub(super) fn depth(&self, route: &Route) -> u64 {
        self.waiting.get(route).map_or(0, |queue| queue.len() as u64)
    }

    pub(super) fn publish(&mut self, hint: Hint) {
        let route = hint.route.clone();
        let queue = self.waiting.entry(route.clone()).or_default();
        queue.push_back(hint);
        self.offer(&route);
        self.forget_oldest(&route);
    }

    pub(super) fn command(&mut self, to: &Recipient, command: &Command) {
        for (inbox, entry) in &self.inboxes {
            let meant = match to {
                Recipient::All => true,
                Recipient::Client(client) => *client == entry.client,
            };
            if meant && matches!(entry.kind, Kind::Commands) {
                let message = ToClient::Command { inbox: *inbox, command: command.clone() };
                self.out.push_back((entry.peer.clone(), message));
            }
        }
    }

    /// What a client has said.
    pub(super) fn hear(&mut self, speaker: Speaker<'_>, message: ToServer, now: Instant) {
        match message {
            ToServer::Hints { inbox, client, routes, credit } => {
                let credit = usize::try_from(credit).unwrap_or(usize::MAX);
                let hands = Hands { routes, credit, held: BTreeMap::new(), turn: 0 };
                self.announced(speaker, inbox, client, Kind::Hints(hands), now);
            }
            ToServer::Commands { inbox, client } => {
                self.announced(speaker, inbox, client, Kind::Commands, now);
            }
            ToServer::Done { inbox, number } => {
                if self.take(speaker, inbox, number).is_some() {
                    self.offer_to(inbox);
                }
            }
            ToServer::Back { inbox, number } => {
                if let Some(hint) = self.take(speaker, inbox, number) {
                    self.give_back([hint]);
                    self.offer_to(inbox);
                }
            }
            ToServer::Bye { inbox } => {
                if self.inboxes.get(&inbox).is_some_and(|e| e.owner.as_deref() == speaker.owner) {
                    self.remove(inbox);
                }
            }
        }
    }

    /// The connection is gone, or takes nothing any more: so are its inboxes, until it announces them again.
    pub(super) fn lost(&mut self, peer: &[u8]) {
        let gone = |(inbox, entry): (&InboxId, &Entry)| (entry.peer == peer).then_some(*inbox);
        let gone: Vec<_> = self.inboxes.iter().filter_map(gone).collect();
        for inbox in gone {
            self.remove(inbox);
        }
    }

    /// Removes inboxes that have been silent for too long.
    pub(super) fn tick(&mut self, now: Instant) {
        let patience = self.patience;
        let silent = |e: &Entry| now.saturating_duration_since(e.heard) > patience;
        let gone: Vec<_> =
            self.inboxes.iter().filter(|(_, e)| silent(e)).map(|(inbox, _)| *inbox).collect();
        for inbox in gone {
            self.remove(inbox);
        }
    }

    /// Whether a hint is in the hands of an inbox.
    #[cfg(test)]
    pub(super) fn holds(&self, inbox: InboxId, number: Number) -> bool {
        let entry = self.inboxes.get(&inbox);
        entry.is_some_and(|e| matches!(&e.kind, Kind::Hints(h) if h.held.contains_key(&number)))
    }

    fn announced(
        &mut self,
        speaker: Speaker<'_>,
        inbox: InboxId,
        client: ClientName,
        kind: Kind,
        now: Instant,
    ) {
        if let Err(why) = self.check(speaker, inbox, &client) {
            let refused = ToClient::Refused { inbox, why };
            self.out.push_back((speaker.peer.to_vec(), refused));
            return;
        }
        let mut returned = Vec::new();
        let mut kind = kind;
        let before = self.inboxes.remove(&inbox).map(|entry| (entry.peer, entry.kind));
        if let (Kind::Hints(new), Some((peer, Kind::Hints(old)))) = (&mut kind, before) {
            new.turn = old.turn;
            if peer == speaker.peer {
                new.held = old.held;
            } else {
                // On another connection: nobody knows what of it has arrived, and its client begins anew.
                returned.extend(old.held.into_values());
            }
        }
        let entry = Entry {
            peer: speaker.peer.to_vec(),
            owner: speaker.owner.map(str::to_owned),
            client,
            heard: now,
            kind,
        };
        self.inboxes.insert(inbox, entry);
        self.out.push_back((speaker.peer.to_vec(), ToClient::Heard { inbox }));
        self.give_back(returned);
        self.offer_to(inbox);
    }

    fn check(
        &self,
        speaker: Speaker<'_>,
        inbox: InboxId,
        client: &ClientName,
    ) -> Result<(), String> {
        if speaker.owner.is_some_and(|owner| owner != client.as_str()) {
            return Err(format!("this key does not belong to the client {client}"));
        }
        match self.inboxes.get(&inbox) {
            Some(known) if known.owner.as_deref() != speaker.owner || known.client != *client => {
                Err("this inbox belongs to another client".to_owned())
            }
            None if self.inboxes.len() >= MOST_INBOXES => {
                Err("there are too many inboxes".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Takes a hint out of an inbox's hands, where it is there.
    fn take(&mut self, speaker: Speaker<'_>, inbox: InboxId, number: Number) -> Option<Hint> {
        let entry = self.inboxes.get_mut(&inbox)?;
        if entry.owner.as_deref() != speaker.owner {
            return None;
        }
        match &mut entry.kind {
            Kind::Hints(hands) => hands.held.remove(&number),
            Kind::Commands => None,
        }
    }

    fn remove(&mut self, inbox: InboxId) {
        if let Some(Entry { kind: Kind::Hints(hands), .. }) = self.inboxes.remove(&inbox) {
            self.give_back(hands.held.into_values().collect::<Vec<_>>());
        }
    }

    /// Puts hints back to the front of their queues, and offers them to others.
    fn give_back(&mut self, hints: impl IntoIterator<Item = Hint, IntoIter: DoubleEndedIterator>) {
        let mut routes = Vec::new();
        for hint in hints.into_iter().rev() {
            routes.push(hint.route.clone());
            self.waiting.entry(hint.route.clone()).or_default().push_front(hint);
        }
        for route in routes {
            self.offer(&route);
            self.forget_oldest(&route);
        }
    }

    fn forget_oldest(&mut self, route: &Route) {
        let Some(queue) = self.waiting.get_mut(route) else { return };
        while queue.len() > MOST_HINTS {
            queue.pop_front();
        }
        if queue.is_empty() {
            self.waiting.remove(route);
        }
    }

    /// Offers an inbox with room whatever waits on its routes.
    fn offer_to(&mut self, inbox: InboxId) {
        let Some(Entry { kind: Kind::Hints(hands), .. }) = self.inboxes.get(&inbox) else { return };
        let waits = |route: &&Route| self.waiting.contains_key(*route);
        let routes: Vec<_> = hands.routes.iter().filter(waits).cloned().collect();
        for route in routes {
            self.offer(&route);
            self.forget_oldest(&route);
        }
    }

    /// Hands waiting hints of a route out, each to the inbox with room that has waited longest.
    fn offer(&mut self, route: &Route) {
        while let Some(queue) = self.waiting.get_mut(route).filter(|q| !q.is_empty()) {
            let ready =
                self.inboxes.iter_mut().filter_map(|(inbox, entry)| match &mut entry.kind {
                    Kind::Hints(h) if h.held.len() < h.credit && h.routes.contains(route) => {
                        Some((*inbox, &entry.peer, h))
                    }
                    _ => None,
                });
            let Some((inbox, peer, hands)) = ready.min_by_key(|(_, _, h)| h.turn) else { return };
            let Some(hint) = queue.pop_front() else { return };
            self.last_turn += 1;
            self.last_number += 1;
            hands.turn = self.last_turn;
            hands.held.insert(self.last_number, hint.clone());
            let number = self.last_number;
            self.out.push_back((peer.clone(), ToClient::Hint { inbox, number, hint }));
        }
    }
}
