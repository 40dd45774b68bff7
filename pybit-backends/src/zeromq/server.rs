//! The server's end: one thread with the socket that clients connect to, and the gate that looks at their keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pybit_core::model::Route;
use pybit_core::transport::{Command, Hint, Recipient};
use pybit_core::{Error, Result};
use tokio::sync::{oneshot, watch};
use zmq::{Context, POLLIN, PollItem, Socket, SocketType};

use super::book::{Book, Speaker};
use super::config::Bind;
use super::mailbox::{Letters, Mailbox, mailbox};
use super::wire::{self, ToServer};
use super::{keys, socket};
use crate::foreign::Foreign;

/// Where clients of the same process connect.
pub(super) const INSIDE: &str = "inproc://pybit";
/// Messages that are read before anything else gets a turn.
const AT_ONCE: usize = 1000;

/// What the rest of the process asks of the thread.
#[derive(Debug)]
enum Order {
    Publish(Vec<Hint>, oneshot::Sender<()>),
    Command(Recipient, Command, oneshot::Sender<()>),
    Depth(Route, oneshot::Sender<u64>),
}

/// A handle on the thread; dropped, the thread ends.
#[derive(Debug)]
pub(super) struct Server {
    orders: Mailbox<Order>,
    /// The address that clients connect to.
    pub(super) endpoint: String,
    pub(super) foreign: Arc<Foreign>,
    ended: watch::Receiver<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Binds, and starts the thread.
    pub(super) fn start(context: &Context, bind: &Bind) -> Result<Self> {
        let gate = match &bind.keys {
            Some((_, clients)) => Some(Gate::open(context, clients.clone())?),
            None => None,
        };
        let what = format!("listen on {}", bind.endpoint);
        let router = router(context, bind).map_err(|e| socket::failed(&what, e))?;
        let endpoint = router.get_last_endpoint().map_err(|e| socket::failed(&what, e))?;
        let endpoint = endpoint.unwrap_or_else(|_| bind.endpoint.clone());
        // After the address was asked for: it is the last one that counts.
        router.bind(INSIDE).map_err(|e| socket::failed("listen inside the process", e))?;
        let (orders, letters) = mailbox()?;
        let (ended_in, ended) = watch::channel(());
        let foreign = Arc::new(Foreign::default());
        let desk = Desk {
            router,
            gate,
            letters,
            book: Book::new(3 * bind.beat),
            beat: bind.beat,
            foreign: Arc::clone(&foreign),
            _ended: ended_in,
        };
        let thread = std::thread::Builder::new().name("pybit-zmq-serve".to_owned());
        thread
            .spawn(move || desk.run())
            .map_err(|e| Error::internal("no thread can be started").with_source(e))?;
        tracing::info!(encrypted = bind.keys.is_some(), "ZeroMQ listens on {endpoint}");
        Ok(Self { orders, endpoint, foreign, ended })
    }

    pub(super) async fn publish(&self, hints: Vec<Hint>) -> Result<()> {
        self.ask(|tell| Order::Publish(hints, tell)).await
    }

    pub(super) async fn command(&self, to: &Recipient, command: &Command) -> Result<()> {
        self.ask(|tell| Order::Command(to.clone(), command.clone(), tell)).await
    }

    pub(super) async fn depth(&self, route: &Route) -> Result<u64> {
        self.ask(|tell| Order::Depth(route.clone(), tell)).await
    }

    /// Whether the thread answers.
    pub(super) async fn answers(&self) -> Result<()> {
        self.publish(Vec::new()).await
    }

    pub(super) fn stop(&self) {
        self.orders.end();
    }

    /// Returns when the thread has ended.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T> {
        let (tell, told) = oneshot::channel();
        self.orders.put(order(tell))?;
        told.await.map_err(|_| super::closed())
    }
}

fn router(context: &Context, bind: &Bind) -> zmq::Result<Socket> {
    let router = socket::open(context, SocketType::ROUTER, bind.beat)?;
    // Each new connection gets an empty message: its client announces its inboxes then.
    router.set_probe_router(true)?;
    // A message to a connection that is gone, or that does not read, is an error and not silence.
    router.set_router_mandatory(true)?;
    router.set_ipv6(bind.endpoint.contains('['))?;
    if let Some((pair, _)) = &bind.keys {
        router.set_curve_server(true)?;
        router.set_curve_secretkey(&pair.secret)?;
        router.set_zap_domain("pybit")?;
    }
    router.bind(&bind.endpoint)?;
    Ok(router)
}

struct Desk {
    router: Socket,
    gate: Option<Gate>,
    letters: Letters<Order>,
    book: Book,
    beat: Duration,
    foreign: Arc<Foreign>,
    _ended: watch::Sender<()>,
}

impl Desk {
    fn run(mut self) {
        let mut tick = Instant::now() + self.beat;
        loop {
            let mut items = vec![
                self.router.as_poll_item(POLLIN),
                PollItem::from_fd(self.letters.fd(), POLLIN),
            ];
            items.extend(self.gate.as_ref().map(|gate| gate.socket.as_poll_item(POLLIN)));
            if !socket::wait(&mut items, tick.saturating_duration_since(Instant::now())) {
                return;
            }
            if let Some(gate) = &mut self.gate {
                gate.answer();
            }
            self.letters.hush();
            if self.letters.is_over() {
                return;
            }
            while let Some(order) = self.letters.take() {
                self.obey(order);
            }
            // Before silence is judged: what was said while this process was stopped is here.
            for _ in 0..AT_ONCE {
                let Some(frames) = socket::receive(&self.router) else { break };
                self.hear(frames);
            }
            if Instant::now() >= tick {
                self.book.tick(Instant::now());
                tick = Instant::now() + self.beat;
            }
            self.send();
        }
    }

    /// Does what the rest of the process asks.
    fn obey(&mut self, order: Order) {
        match order {
            Order::Publish(hints, tell) => {
                for hint in hints {
                    self.book.publish(hint);
                }
                let _ = tell.send(());
            }
            Order::Command(to, command, tell) => {
                self.book.command(&to, &command);
                let _ = tell.send(());
            }
            Order::Depth(route, tell) => {
                let _ = tell.send(self.book.depth(&route));
            }
        }
    }

    fn hear(&mut self, mut frames: Vec<zmq::Message>) {
        let Some(last) = frames.last_mut() else { return };
        let owner = last.gets("User-Id").filter(|o| !o.is_empty()).map(str::to_owned);
        let [peer, rest @ ..] = &frames[..] else { return };
        let parts: Vec<&[u8]> = rest.iter().map(|frame| &**frame).collect();
        match wire::decode::<ToServer>(&parts) {
            Ok(message) => {
                let speaker = Speaker { peer, owner: owner.as_deref() };
                self.book.hear(speaker, message, Instant::now());
            }
            Err(why) => {
                let from = frames.last_mut().and_then(|last| last.gets("Peer-Address"));
                let from = from.unwrap_or("an unknown address");
                if self.foreign.is_first() {
                    tracing::warn!(
                        from,
                        owner,
                        "ZeroMQ brought a message that is not pybit's: {why}; it and all that follow are dropped"
                    );
                } else {
                    tracing::debug!(
                        from,
                        owner,
                        "ZeroMQ brought another message that is not pybit's: {why}"
                    );
                }
            }
        }
    }

    fn send(&mut self) {
        while let Some((peer, message)) = self.book.next_message() {
            if let Err(e) = socket::send(&self.router, Some(&peer), &message) {
                // It is gone, or does not read: nobody waits for it. It announces itself when it is back.
                tracing::debug!("a client's connection is given up: {e}");
                self.book.lost(&peer);
            }
        }
    }
}

/// Looks at the keys of those who connect (ZAP, rfc.zeromq.org/spec/27).
struct Gate {
    socket: Socket,
    clients: PathBuf,
    /// What was last said of one that was turned away: it tries again every few seconds.
    told: String,
}

impl Gate {
    fn open(context: &Context, clients: PathBuf) -> Result<Self> {
        let open = || {
            let socket = context.socket(SocketType::REP)?;
            socket.set_linger(0)?;
            socket.bind("inproc://zeromq.zap.01")?;
            Ok(socket)
        };
        let socket = open().map_err(|e| socket::failed("look at keys", e))?;
        Ok(Self { socket, clients, told: String::new() })
    }

    fn answer(&mut self) {
        while let Some(frames) = socket::receive(&self.socket) {
            let frames: Vec<&[u8]> = frames.iter().map(|frame| &**frame).collect();
            let (status, text, owner) = match self.judge(&frames) {
                Ok(owner) => ("200", "welcome", owner),
                Err(why) => {
                    if self.told != why {
                        tracing::warn!("ZeroMQ turned a client away: {why}");
                        self.told = why;
                    }
                    ("400", "no such client", String::new())
                }
            };
            let id = frames.get(1).copied().unwrap_or_default();
            let reply: [&[u8]; 6] =
                [b"1.0", id, status.as_bytes(), text.as_bytes(), owner.as_bytes(), b""];
            let _ = self.socket.send_multipart(reply, zmq::DONTWAIT);
        }
    }

    /// The client whose key it is.
    fn judge(&self, frames: &[&[u8]]) -> Result<String, String> {
        let [b"1.0", _id, _domain, address, _identity, b"CURVE", key] = frames else {
            return Err("it came without a key".to_owned());
        };
        let address = String::from_utf8_lossy(address);
        let key: &keys::PublicKey =
            (*key).try_into().map_err(|_| format!("{address} has no whole key"))?;
        match keys::owner(&self.clients, key) {
            Ok(Some(client)) => Ok(client.to_string()),
            Ok(None) => {
                let (key, list) = (keys::shown(key), self.clients.display());
                Err(format!("{address} has the key {key}, which {list} does not list"))
            }
            Err(e) => Err(e.to_string()),
        }
    }
}
