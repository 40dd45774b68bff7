//! A client's end: one thread with a socket for each server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pybit_core::model::{ClientName, Route};
use pybit_core::transport::{CommandInbox, Inbox};
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot, watch};
use zmq::{Context, POLLIN, PollItem, Socket, SocketEvent, SocketType};

use super::config::{Connect, Server};
use super::desk::{Desk, Held, Kind, Opening, Place};
use super::inbox::{Owner, ZeroCommands, ZeroInbox, ZeroReceipt};
use super::mailbox::{Letters, Mailbox, mailbox};
use super::wire::{self, InboxId, ToClient};
use super::{server, socket};
use crate::foreign::Foreign;

/// Servers get this long to answer a new inbox; one that is away learns of it when it is back.
const READY: Duration = Duration::from_secs(2);
/// Commands that wait for one listener; more say nothing new.
const MOST_COMMANDS: usize = 16;
/// The first wait before a lost connection is made again, and the longest; libzmq adds chance.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A socket gets at least this long to connect before it is made anew.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
/// What is still to be said at the end may take this long.
const GOODBYE: Duration = Duration::from_millis(200);
/// Messages that are read from one server before anything else gets a turn.
const AT_ONCE: usize = 1000;

/// What the rest of the process asks of the thread.
#[derive(Debug)]
pub(super) enum Order {
    Open(Opening),
    Gone(InboxId),
    Done(Held, oneshot::Sender<bool>),
    Back(Held),
    Health(oneshot::Sender<Result<(), String>>),
}

/// A handle on the thread; dropped, the thread ends.
#[derive(Debug)]
pub(super) struct Client {
    orders: Mailbox<Order>,
    pub(super) foreign: Arc<Foreign>,
    ended: watch::Receiver<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Client {
    /// Starts the thread, which connects.
    pub(super) fn start(context: &Context, connect: &Connect) -> Result<Self> {
        let lines: Vec<_> = connect
            .servers
            .iter()
            .map(|server| Line::open(context, connect, server))
            .collect::<Result<_>>()?;
        let (orders, letters) = mailbox()?;
        let (ended_in, ended) = watch::channel(());
        let foreign = Arc::new(Foreign::default());
        let receipts = orders.clone();
        let make_receipt = move |held| ZeroReceipt { held, orders: Some(receipts.clone()) };
        let thread = Thread {
            desk: Desk::new(lines.len(), Box::new(make_receipt)),
            lines,
            letters,
            context: context.clone(),
            connect: connect.clone(),
            foreign: Arc::clone(&foreign),
            _ended: ended_in,
        };
        std::thread::Builder::new()
            .name("pybit-zmq-hear".to_owned())
            .spawn(move || thread.run())
            .map_err(|e| Error::internal("no thread can be started").with_source(e))?;
        Ok(Self { orders, foreign, ended })
    }

    /// An inbox for hints. Returns when the servers that are there know it.
    pub(super) async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        let credit = credit.clamp(1, u32::from(u16::MAX));
        let (hints_in, hints) = mpsc::channel(usize::try_from(credit).unwrap_or(1));
        let kind = Kind::Hints { routes: routes.to_vec(), credit, hints: hints_in };
        let owner = self.open(client, kind).await?;
        Ok(Box::new(ZeroInbox { hints, _owner: owner }))
    }

    /// An inbox for commands. Returns when the servers that are there know it.
    pub(super) async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        let (commands_in, commands) = mpsc::channel(MOST_COMMANDS);
        let owner = self.open(client, Kind::Commands { commands: commands_in }).await?;
        Ok(Box::new(ZeroCommands { commands, _owner: owner }))
    }

    async fn open(&self, client: &ClientName, kind: Kind) -> Result<Owner> {
        let (ready, told) = oneshot::channel();
        let inbox = InboxId(rand::random());
        let opening = Opening { inbox, client: client.clone(), kind, ready };
        self.orders.put(Order::Open(opening))?;
        let owner = Owner { inbox, orders: self.orders.clone() };
        match tokio::time::timeout(READY, told).await {
            Ok(Ok(known)) => known.map(|()| owner),
            Ok(Err(_)) => Err(super::closed()),
            // Nobody is there: the inbox is silent until somebody is.
            Err(_) => Ok(owner),
        }
    }

    pub(super) async fn health(&self) -> Result<()> {
        let (tell, told) = oneshot::channel();
        self.orders.put(Order::Health(tell))?;
        let health = told.await.map_err(|_| super::closed())?;
        health.map_err(|why| Error::new(ErrorKind::Unavailable, why).with_op("health"))
    }

    pub(super) fn stop(&self) {
        self.orders.end();
    }

    /// Returns when the thread has ended.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }
}

/// The way to one server.
struct Line {
    socket: Socket,
    /// What happens to the connection; none inside a process.
    monitor: Option<Socket>,
    endpoint: String,
    /// When this socket was made, and when the server last said something over it.
    since: Instant,
    heard: Instant,
    /// Why there is no connection, where more is known than that.
    trouble: Option<&'static str>,
}

impl Line {
    fn open(context: &Context, connect: &Connect, to: &Server) -> Result<Self> {
        let open = || {
            let socket = socket::open(context, SocketType::DEALER, connect.beat)?;
            // Nothing waits in the socket for a server that is away: it would be about another connection.
            socket.set_immediate(true)?;
            socket.set_linger(socket::millis(GOODBYE))?;
            socket.set_reconnect_ivl(socket::millis(RECONNECT.0))?;
            socket.set_reconnect_ivl_max(socket::millis(RECONNECT.1))?;
            socket.set_ipv6(to.endpoint.contains('['))?;
            if let (Some(pair), Some(server)) = (&connect.keys, &to.key) {
                socket.set_curve_serverkey(server)?;
                socket.set_curve_publickey(&pair.public)?;
                socket.set_curve_secretkey(&pair.secret)?;
            }
            let inside = to.endpoint == server::INSIDE;
            let monitor = if inside { None } else { Some(monitor(context, &socket)?) };
            socket.connect(&to.endpoint)?;
            Ok((socket, monitor))
        };
        let what = format!("connect to {}", to.endpoint);
        let (socket, monitor) = open().map_err(|e| socket::failed(&what, e))?;
        let endpoint = to.endpoint.clone();
        let now = Instant::now();
        Ok(Self { socket, monitor, endpoint, since: now, heard: now, trouble: None })
    }

    /// Why hints do not come from this server.
    fn sentence(&self) -> String {
        let why = self.trouble.unwrap_or("does not answer");
        format!("the ZeroMQ server {} {why}", self.endpoint)
    }
}

fn monitor(context: &Context, socket: &Socket) -> zmq::Result<Socket> {
    let name = format!("inproc://pybit-line-{:016x}", rand::random::<u64>());
    let wanted = [
        SocketEvent::DISCONNECTED,
        SocketEvent::HANDSHAKE_FAILED_AUTH,
        SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
        SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
        SocketEvent::HANDSHAKE_SUCCEEDED,
    ];
    let wanted = wanted.iter().fold(0, |all, event| all | i32::from(event.to_raw()));
    socket.monitor(&name, wanted)?;
    let monitor = context.socket(SocketType::PAIR)?;
    monitor.set_linger(0)?;
    monitor.connect(&name)?;
    Ok(monitor)
}

struct Thread {
    desk: Desk,
    lines: Vec<Line>,
    letters: Letters<Order>,
    context: Context,
    connect: Connect,
    foreign: Arc<Foreign>,
    _ended: watch::Sender<()>,
}

impl Thread {
    fn run(mut self) {
        let mut beat = Instant::now() + self.connect.beat;
        loop {
            let mut items = vec![PollItem::from_fd(self.letters.fd(), POLLIN)];
            for line in &self.lines {
                items.push(line.socket.as_poll_item(POLLIN));
                items.extend(line.monitor.as_ref().map(|m| m.as_poll_item(POLLIN)));
            }
            if !socket::wait(&mut items, beat.saturating_duration_since(Instant::now())) {
                return;
            }
            for place in 0..self.lines.len() {
                self.look(place);
                self.listen(place);
            }
            self.letters.hush();
            if self.letters.is_over() {
                self.desk.farewell();
                self.send();
                return;
            }
            while let Some(order) = self.letters.take() {
                self.obey(order);
            }
            if Instant::now() >= beat {
                self.reopen();
                self.desk.beat();
                beat = Instant::now() + self.connect.beat;
            }
            self.send();
        }
    }

    /// Does what the rest of the process asks.
    fn obey(&mut self, order: Order) {
        match order {
            Order::Open(opening) => self.desk.open(opening),
            Order::Gone(inbox) => self.desk.gone(inbox),
            Order::Done(held, tell) => {
                let _ = tell.send(self.settle(held, true));
            }
            Order::Back(held) => drop(self.settle(held, false)),
            Order::Health(tell) => {
                let _ = tell.send(self.health());
            }
        }
    }

    /// Tells the server what became of a hint; whether it could be told.
    fn settle(&mut self, held: Held, done: bool) -> bool {
        let word = self.desk.settle(held, done);
        let told = word.is_some_and(|(place, word)| {
            socket::send(&self.lines[place].socket, None, &word).is_ok()
        });
        self.desk.settled(held.inbox);
        told
    }

    /// Fine while one server is heard: the others may be away.
    fn health(&self) -> Result<(), String> {
        let silent =
            |line: &Line| self.desk.has_inboxes() && line.heard.elapsed() > 3 * self.connect.beat;
        let there = |(place, line): (usize, &Line)| self.desk.is_up(place) && !silent(line);
        if self.lines.iter().enumerate().any(there) {
            return Ok(());
        }
        let all: Vec<_> = self.lines.iter().map(Line::sentence).collect();
        Err(all.join("; "))
    }

    /// Makes sockets anew that have led nowhere for a while. libzmq connects again by itself after a lost connection, and
    /// not after a refused handshake or a message against the protocol (`session_base_t::engine_error`).
    fn reopen(&mut self) {
        let patience = (5 * self.connect.beat).max(SHORTEST_PATIENCE);
        for (place, server) in self.connect.servers.iter().enumerate() {
            let line = &mut self.lines[place];
            if self.desk.is_up(place) || line.since.max(line.heard).elapsed() < patience {
                continue;
            }
            match Line::open(&self.context, &self.connect, server) {
                Ok(new) => *line = Line { trouble: line.trouble, ..new },
                Err(e) => tracing::warn!("{e}"),
            }
        }
    }

    /// What has happened to the connection.
    fn look(&mut self, place: Place) {
        let line = &mut self.lines[place];
        while let Some(frames) = line.monitor.as_ref().and_then(socket::receive) {
            let Some(raw) = frames.first().and_then(|f| f.first_chunk::<2>()) else { continue };
            let trouble = match SocketEvent::from_raw(u16::from_ne_bytes(*raw)) {
                SocketEvent::HANDSHAKE_SUCCEEDED => None,
                SocketEvent::HANDSHAKE_FAILED_AUTH => {
                    Some("refuses this client's key: its clients_file must list it")
                }
                SocketEvent::HANDSHAKE_FAILED_NO_DETAIL
                | SocketEvent::HANDSHAKE_FAILED_PROTOCOL => {
                    Some("ends the handshake: server_keys must hold its public key")
                }
                _ => {
                    if self.desk.is_up(place) {
                        tracing::warn!(
                            "the connection to the ZeroMQ server {} is lost; connecting again",
                            line.endpoint
                        );
                        self.desk.lost(place);
                    }
                    continue;
                }
            };
            if trouble.is_some() && trouble != line.trouble {
                line.trouble = trouble;
                tracing::warn!("{}; trying again", line.sentence());
            }
            line.trouble = trouble;
        }
    }

    /// What the server says.
    fn listen(&mut self, place: Place) {
        for _ in 0..AT_ONCE {
            let Some(frames) = socket::receive(&self.lines[place].socket) else { return };
            self.lines[place].heard = Instant::now();
            let parts: Vec<&[u8]> = frames.iter().map(|frame| &**frame).collect();
            if parts == [b""] {
                tracing::info!("connected to the ZeroMQ server {}", self.lines[place].endpoint);
                self.desk.connected(place);
                continue;
            }
            match wire::decode::<ToClient>(&parts) {
                Ok(message) => self.desk.hear(place, message),
                Err(why) => self.count_foreign(place, &why.to_string()),
            }
            for _ in 0..self.desk.take_foreign() {
                self.count_foreign(place, "it is a hint of another version or for another route");
            }
        }
    }

    fn count_foreign(&self, place: Place, why: &str) {
        let endpoint = &self.lines[place].endpoint;
        if self.foreign.is_first() {
            tracing::warn!(
                "the ZeroMQ server {endpoint} sent a message that is not pybit's: {why}; it and all that follow are dropped"
            );
        } else {
            tracing::debug!(
                "the ZeroMQ server {endpoint} sent another message that is not pybit's: {why}"
            );
        }
    }

    fn send(&mut self) {
        while let Some((place, message)) = self.desk.next_message() {
            // What cannot be sent is said again with the next beat, or is void with its connection.
            let _ = socket::send(&self.lines[place].socket, None, &message);
        }
    }
}
