//! Hints and commands out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use pybit_core::model::Route;
use pybit_core::transport::{Command, Hint, Recipient};
use pybit_core::trial::{self, Mutation};
use pybit_core::{Error, ErrorKind, Result};

use super::link::{ANSWER, Link, Session};
use super::names::Names;
use super::{commands, topology};

/// A broker that has stored a message says so within this time.
const CONFIRM: Duration = Duration::from_secs(10);
/// Messages that wait for their confirms at once.
const AT_ONCE: usize = 256;
/// Delivery mode 2 (AMQP 0-9-1, basic.properties): kept on disk.
const PERSISTENT: u8 = 2;

/// Publishes hints; `Ok` when the broker has confirmed that a queue holds each, or was seen a moment ago to hold as many
/// of its route as it keeps (`brim`).
///
/// A hint that comes back has no queue: somebody has deleted it. It is declared anew and the hint sent once more.
pub(super) async fn hints(link: &Link, hints: &[Hint]) -> Result<()> {
    if hints.is_empty() {
        return Ok(());
    }
    let session = link.session()?;
    let now = Instant::now();
    let hints: Vec<&Hint> =
        hints.iter().filter(|h| hints.len() == 1 || !session.brim.is_full(&h.route, now)).collect();
    let returned = send(link, &session, hints.iter().copied()).await?;
    if returned.is_empty() {
        look(link, &session, &hints).await;
        return Ok(());
    }
    session.declared().retain(|route| !returned.contains(route));
    let again = hints.iter().copied().filter(|h| returned.contains(&h.route));
    let again = send(link, &session, again).await?;
    match again.first() {
        None => Ok(()),
        Some(route) => Err(unroutable(link, route)),
    }
}

/// Looks whether the queues of routes that got many hints are full. One that cannot be looked at is filled on.
async fn look(link: &Link, session: &Arc<Session>, hints: &[&Hint]) {
    for route in session.brim.sent(hints.iter().map(|h| &h.route)) {
        match depth(link, session, &route).await {
            Ok(depth) => {
                let full = depth >= u64::from(topology::MOST_HINTS.unsigned_abs());
                session.brim.seen(&route, full, Instant::now());
            }
            Err(error) => tracing::debug!(?error, %route, "a queue was not looked at"),
        }
    }
}

/// Hints that wait in a route's queue.
pub(super) async fn depth(link: &Link, session: &Arc<Session>, route: &Route) -> Result<u64> {
    let queue = link.names().queue(route);
    let counted = topology::depth(session, &queue);
    let counted = async { counted.await.map_err(|e: lapin::Error| link.failed("depth", &e)) };
    link.within("depth", ANSWER, session, counted).await
}

/// Publishes a command; nobody has to be there for it.
pub(super) async fn command(link: &Link, to: &Recipient, command: &Command) -> Result<()> {
    let session = link.session()?;
    let (exchange, key) = match to {
        Recipient::Client(client) => (link.names().commands(), client.to_string()),
        Recipient::All => (link.names().broadcast(), String::new()),
    };
    let body = commands::encode(command)?;
    let failed = |e: lapin::Error| link.failed("send_command", &e);
    let sent = async {
        let channel = publisher(&session).await.map_err(failed)?;
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(exchange.into(), key.into(), options, &body, properties());
        let confirmed = sent.await.map_err(failed)?.await.map_err(failed)?;
        check(link, &confirmed).map(drop)
    };
    link.within("send_command", CONFIRM, &session, sent).await
}

/// Sends hints and waits for their confirms; the routes of those that came back.
async fn send<'a>(
    link: &Link,
    session: &Arc<Session>,
    hints: impl Iterator<Item = &'a Hint>,
) -> Result<BTreeSet<Route>> {
    let hints: Vec<_> = hints.collect();
    let mut returned = BTreeSet::new();
    for batch in hints.chunks(AT_ONCE) {
        let sent = send_batch(link, session, batch, &mut returned);
        if let Err(e) = link.within("publish", CONFIRM, session, sent).await {
            // Confirms that are still to come are nobody's: the next one begins with a fresh channel.
            session.publisher.lock().await.take();
            return Err(e);
        }
    }
    Ok(returned)
}

async fn send_batch(
    link: &Link,
    session: &Session,
    hints: &[&Hint],
    returned: &mut BTreeSet<Route>,
) -> Result<()> {
    let failed = |e: lapin::Error| link.failed("publish", &e);
    for hint in hints {
        link.declare(session, &hint.route).await.map_err(failed)?;
    }
    let channel = publisher(session).await.map_err(failed)?;
    let exchange = link.names().hints();
    let mandatory = !trial::is_broken(Mutation::PublishWithoutMandatory);
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    let mut confirms = Vec::with_capacity(hints.len());
    for hint in hints {
        let (exchange, key) = (exchange.as_str().into(), Names::key(&hint.route).into());
        let body = hint.encode();
        let sent = channel.basic_publish(exchange, key, options, &body, properties());
        confirms.push((hint, sent.await.map_err(failed)?));
    }
    for (hint, confirm) in confirms {
        if check(link, &confirm.await.map_err(failed)?)? == Held::Nowhere {
            returned.insert(hint.route.clone());
        }
    }
    Ok(())
}

/// What a confirm says.
#[derive(PartialEq)]
enum Held {
    ByTheBroker,
    Nowhere,
}

fn check(link: &Link, confirmation: &Confirmation) -> Result<Held> {
    match confirmation {
        Confirmation::Ack(None) => Ok(Held::ByTheBroker),
        // Unroutable messages are confirmed too, after they were returned.
        Confirmation::Ack(Some(_)) => Ok(Held::Nowhere),
        Confirmation::Nack(_) => {
            let message = format!("{} could not keep a message", link.shown());
            Err(Error::new(ErrorKind::Unavailable, message).with_op("publish"))
        }
        Confirmation::NotRequested => {
            Err(Error::internal("a channel without confirms has published"))
        }
    }
}

/// The channel that publishes, opened where there is none that works.
async fn publisher(session: &Session) -> lapin::Result<Channel> {
    let mut publisher = session.publisher.lock().await;
    if let Some(channel) = publisher.as_ref().filter(|c| c.status().connected()) {
        return Ok(channel.clone());
    }
    let channel = session.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    *publisher = Some(channel.clone());
    Ok(channel)
}

fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
}

fn unroutable(link: &Link, route: &Route) -> Error {
    let message = format!(
        "{} has no queue {} for the route {route}: declare it and bind it to the exchange {}",
        link.shown(),
        link.names().queue(route),
        link.names().hints(),
    );
    Error::new(ErrorKind::Unavailable, message).with_code("unroutable").with_op("publish")
}
