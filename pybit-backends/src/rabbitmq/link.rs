//! One connection that comes back by itself.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::protocol::AMQPSoftError;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use pybit_core::model::Route;
use pybit_core::{Error, ErrorKind, Result};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::brim::Brim;
use super::config::Broker;
use super::names::Names;
use super::socket::{self, Plug};
use super::{closed, error, topology};
use crate::foreign::Foreign;

/// A broker gets this long to take a connection and its first declarations.
const CONNECT: Duration = Duration::from_secs(10);
/// A broker that works answers within this time.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// The first wait before a lost connection is made again; it doubles, with as much chance on top.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait, before chance: a broker takes some seconds to start.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// A connection that lived this long was a good one: the next wait is short again.
const GOOD: Duration = Duration::from_secs(1);
/// How often a connection is asked whether it still is one, should its last word have been missed.
const LOOK: Duration = Duration::from_secs(5);

/// The way to a broker, whether it is there or not.
#[derive(Debug)]
pub(super) struct Link {
    broker: Broker,
    state: watch::Sender<State>,
    /// Which farm sends here; nobody where it only listens.
    farm: Mutex<Option<String>>,
    foreign: Foreign,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
pub(super) enum State {
    /// It is there.
    Up(Arc<Session>),
    /// It is away, and tried again; why.
    Away(Arc<Error>),
    /// It is not wanted any more.
    Closed,
}

/// A connection that has everything declared, while it lasts.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    _plug: Plug,
    /// The channel that publishes, with confirms.
    pub(super) publisher: tokio::sync::Mutex<Option<Channel>>,
    /// Routes whose queue is there.
    declared: Mutex<HashSet<Route>>,
    /// Which of them need no more hints.
    pub(super) brim: Brim,
}

impl std::ops::Deref for Session {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Session {
    pub(super) fn declared(&self) -> MutexGuard<'_, HashSet<Route>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    pub(super) fn new(broker: Broker) -> Self {
        let yet =
            Error::new(ErrorKind::Unavailable, format!("{} is not connected yet", broker.shown));
        Self {
            broker,
            state: watch::Sender::new(State::Away(Arc::new(yet))),
            farm: Mutex::new(None),
            foreign: Foreign::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Connects, and keeps connected until [`Link::stop`]; tells what came of the first try.
    pub(super) fn start(link: &Arc<Self>) -> (JoinHandle<()>, oneshot::Receiver<Result<()>>) {
        let (tell, told) = oneshot::channel();
        (tokio::spawn(keep(Arc::clone(link), tell)), told)
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn names(&self) -> &Names {
        &self.broker.names
    }

    pub(super) fn shown(&self) -> &str {
        &self.broker.shown
    }

    pub(super) fn declares(&self) -> bool {
        self.broker.options.declare
    }

    /// Follows whether the broker is there.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The connection; `Unavailable` with the reason while there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>> {
        match &*self.state.borrow() {
            State::Up(session) => Ok(Arc::clone(session)),
            State::Away(why) => Err(error::again(why)),
            State::Closed => Err(closed()),
        }
    }

    /// Returns when this session is not the link's any more. Whoever waits for a word of the broker waits for this beside
    /// it: not every promise of a connection that has ended is ever answered (seen with lapin 4.12.3).
    pub(super) async fn ended(&self, session: &Arc<Session>) {
        let is_over = |state: &State| match state {
            State::Up(now) => !Arc::ptr_eq(now, session),
            State::Away(_) | State::Closed => true,
        };
        // The sender lives as long as the link.
        let _ = self.watch().wait_for(is_over).await;
    }

    /// Does something with a session, for `limit` at most and only as long as the session lasts.
    pub(super) async fn within<T>(
        &self,
        op: &'static str,
        limit: Duration,
        session: &Arc<Session>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let why = tokio::select! {
            done = work => return done,
            () = self.ended(session) => format!("the connection to {} was lost", self.shown()),
            () = tokio::time::sleep(limit) => format!("{} did not answer within {limit:?}", self.shown()),
        };
        Err(Error::new(ErrorKind::Unavailable, why).with_code("transport_unavailable").with_op(op))
    }

    pub(super) fn failed(&self, op: &'static str, error: &lapin::Error) -> Error {
        error::failed(&self.broker.shown, op, error)
    }

    /// Declares the queue of a route, once for each connection.
    pub(super) async fn declare(&self, session: &Session, route: &Route) -> lapin::Result<()> {
        if !self.declares() || session.declared().contains(route) {
            return Ok(());
        }
        let kind = self.broker.options.queues;
        topology::route(session, self.names(), kind, route).await?;
        session.declared().insert(route.clone());
        Ok(())
    }

    pub(super) async fn serve_farm(&self, farm: &str) -> Result<()> {
        if self.farm().as_deref().is_some_and(|known| known != farm) {
            return Err(self.foreign_farm());
        }
        if let Ok(session) = self.session() {
            let marked = self.mark(&session, farm);
            match self.within("serve_farm", CONNECT, &session, marked).await {
                Err(e) if e.code() == "foreign_farm" => return Err(e),
                // The connection is gone: the next one asks before it is used.
                _ => {}
            }
        }
        *self.farm() = Some(farm.to_owned());
        Ok(())
    }

    pub(super) async fn health(&self) -> Result<()> {
        let session = self.session()?;
        if session.status().blocked() {
            let message =
                format!("{} takes no messages: it is short of memory or disk", self.shown());
            return Err(Error::new(ErrorKind::Unavailable, message).with_op("health"));
        }
        let asked = async {
            let channel = session.create_channel().await?;
            topology::close(&channel).await;
            lapin::Result::Ok(())
        };
        let asked = async { asked.await.map_err(|e: lapin::Error| self.failed("health", &e)) };
        self.within("health", ANSWER, &session, asked).await
    }

    pub(super) fn foreign(&self) -> u64 {
        self.foreign.count()
    }

    /// Counts a message that is not pybit's, and says so once.
    pub(super) fn count_foreign(&self, queue: &str, why: &Error) {
        let (shown, dead) = (self.shown(), self.names().dead());
        if self.foreign.is_first() {
            tracing::warn!(
                queue,
                "{shown} delivered a message that is not pybit's: {why}; it and all that follow go to the queue {dead}"
            );
        } else {
            tracing::debug!(queue, "{shown} delivered another message that is not pybit's: {why}");
        }
    }

    fn farm(&self) -> MutexGuard<'_, Option<String>> {
        self.farm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn foreign_farm(&self) -> Error {
        error::foreign_farm(self.shown(), &self.broker.options.name, &self.names().marker())
    }

    async fn mark(&self, connection: &Connection, farm: &str) -> Result<()> {
        if !self.declares() {
            return Ok(());
        }
        let kind = self.broker.options.queues;
        topology::marker(connection, self.names(), kind, farm).await.map_err(|e| {
            if topology::is_soft(&e, AMQPSoftError::PRECONDITIONFAILED)
                && e.to_string().contains("x-dead-letter-routing-key")
            {
                return self.foreign_farm();
            }
            self.failed("serve_farm", &e)
        })
    }

    async fn connect(&self) -> Result<Session> {
        tokio::time::timeout(CONNECT, self.connected()).await.unwrap_or_else(|_| {
            let message = format!("{} does not answer within {CONNECT:?}", self.shown());
            Err(Error::new(ErrorKind::Unavailable, message).with_op("connect"))
        })
    }

    async fn connected(&self) -> Result<Session> {
        let plug = Plug::default();
        let Broker { uri, options, names, shown, .. } = &self.broker;
        let name = format!("pybit {} (process {})", options.name, std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let refused = |e| {
            let user = &uri.authority.userinfo.username;
            error::unreachable(shown, user, &uri.vhost, &e)
        };
        let connection = socket::connect(&self.broker, properties, &plug).await;
        let connection = connection.map_err(refused)?;
        if options.declare {
            let declared = topology::common(&connection, names, options.queues).await;
            declared.map_err(|e: lapin::Error| self.failed("declare", &e))?;
        }
        let farm = self.farm().clone();
        if let Some(farm) = farm {
            self.mark(&connection, &farm).await?;
        }
        Ok(Session {
            connection,
            _plug: plug,
            publisher: tokio::sync::Mutex::default(),
            declared: Mutex::default(),
            brim: Brim::default(),
        })
    }
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Connects again and again until the link is stopped; `first` is told what came of the first try.
async fn keep(link: Arc<Link>, first: oneshot::Sender<Result<()>>) {
    let mut first = Some(first);
    let mut backoff = waits();
    let mut failures = 0_u32;
    while !link.stop.is_cancelled() {
        let connected = tokio::select! {
            connected = link.connect() => connected,
            () = link.stop.cancelled() => break,
        };
        match connected {
            Ok(session) => {
                tracing::info!(failures, "connected to {}", link.shown());
                failures = 0;
                let since = Instant::now();
                let why = live(&link, session, first.take()).await;
                link.state.send_replace(State::Away(Arc::new(why)));
                if since.elapsed() > GOOD {
                    backoff = waits();
                }
            }
            Err(why) => {
                if let Some(first) = first.take_if(|_| !why.is_retryable()) {
                    // Whoever opens it is told, and that is the end.
                    let _ = first.send(Err(why));
                    return;
                }
                failures += 1;
                if failures == 1 {
                    tracing::warn!("{why}; trying again until it is there");
                } else {
                    tracing::debug!(failures, "{why}");
                }
                link.state.send_replace(State::Away(Arc::new(error::again(&why))));
                if let Some(first) = first.take() {
                    let _ = first.send(Err(why));
                }
            }
        }
        let wait = backoff.next().unwrap_or(LONGEST_WAIT);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = link.stop.cancelled() => {}
        }
    }
    link.state.send_replace(State::Closed);
}

/// Serves a connection until it ends; why it did.
async fn live(link: &Link, session: Session, first: Option<oneshot::Sender<Result<()>>>) -> Error {
    let session = Arc::new(session);
    let mut events = pin!(session.events_listener());
    link.state.send_replace(State::Up(Arc::clone(&session)));
    if let Some(first) = first {
        let _ = first.send(Ok(()));
    }
    loop {
        tokio::select! {
            () = link.stop.cancelled() => {
                link.state.send_replace(State::Closed);
                let _ = session.close(lapin::protocol::constants::REPLY_SUCCESS, "the process ends".into()).await;
                return closed();
            }
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(why)) => {
                    tracing::warn!("{} takes no messages for now: {why}", link.shown());
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("{} takes messages again", link.shown());
                }
                // A refused operation has cost its channel, and whoever used it knows.
                Some(Event::Error(e)) if e.is_amqp_soft_error() => {}
                Some(Event::Error(e)) => return lost(link, &e.to_string()),
                Some(_) => {}
                None => return lost(link, "the connection has ended"),
            },
            () = tokio::time::sleep(LOOK) => {
                if !session.status().connected() {
                    return lost(link, "the connection has ended");
                }
            }
        }
    }
}

fn lost(link: &Link, why: &str) -> Error {
    let message = format!("the connection to {} is lost: {why}", link.shown());
    tracing::warn!("{message}; connecting again");
    Error::new(ErrorKind::Unavailable, message).with_code("transport_unavailable")
}
