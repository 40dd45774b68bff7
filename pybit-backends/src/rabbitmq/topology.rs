//! What is declared, with which arguments, and why.
//!
//! A queue that is there is used as it is: its arguments cannot be changed, and somebody may have had reasons. So every
//! declaration asks first, on a channel of its own: a refused one takes its channel with it.
//!
//! | what | kind | bound |
//! |---|---|---|
//! | `pybit` | direct exchange, durable | |
//! | `dist_arch_suite_format` | queue, durable, classic or quorum | to `pybit` by `dist.arch.suite.format` |
//! | `pybit.dead` | headers exchange and queue, durable | to each other for what was *rejected* |
//! | `pybit.commands`, `pybit.broadcast` | direct and fanout exchange, durable | |
//! | `pybit.client.NAME.…` | queue of one connection | to both, by the client's name |
//! | `pybit.farm` | queue without messages | |
//!
//! Hints never pile up: a queue forgets the oldest beyond [`MOST_HINTS`] or [`MOST_BYTES`], and each one after
//! [`HINT_LIFE`]. The server hints every waiting route anew each minute, so nothing is lost by that. Dead letters hold no
//! hint that was merely forgotten: the broker says in a header why a message died, and only `rejected` is bound
//! (`all-with-x`, RabbitMQ 3.10 and later).

use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind, Result};
use pybit_core::model::{ClientName, Route};

use super::config::QueueKind;
use super::names::Names;

/// Hints that wait on one route; beyond it the oldest is forgotten.
pub(super) const MOST_HINTS: i32 = 1000;
/// The same in bytes of all hints of a route.
const MOST_BYTES: i32 = 4 << 20;
/// How long a hint waits, in milliseconds.
const HINT_LIFE: i32 = 10 * 60 * 1000;
/// A quorum queue gives a message up that came back too often, from RabbitMQ 4 on after 20 times; clients that turn busy
/// give hints back, so this is far away. Time ends them before.
const MOST_RETURNS: i32 = 1_000_000;
/// Dead letters that are kept, for people to look at.
const MOST_DEAD: i32 = 1000;
/// The same in bytes.
const MOST_DEAD_BYTES: i32 = 16 << 20;
/// Commands that wait for one listener; more say nothing new.
const MOST_COMMANDS: i32 = 16;

fn table<const N: usize>(arguments: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn durable_exchange() -> ExchangeDeclareOptions {
    ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() }
}

/// What every role needs: the exchanges, and the queue of dead letters.
pub(super) async fn common(connection: &Connection, names: &Names, kind: QueueKind) -> Result<()> {
    let channel = connection.create_channel().await?;
    let exchanges = [
        (names.hints(), ExchangeKind::Direct),
        (names.commands(), ExchangeKind::Direct),
        (names.broadcast(), ExchangeKind::Fanout),
        (names.dead(), ExchangeKind::Headers),
    ];
    for (name, kind) in exchanges {
        let none = FieldTable::default();
        channel.exchange_declare(name.into(), kind, durable_exchange(), none).await?;
    }
    let limits = [
        ("x-queue-type", queue_type(kind)),
        ("x-max-length", MOST_DEAD.into()),
        ("x-max-length-bytes", MOST_DEAD_BYTES.into()),
    ];
    let dead = names.dead();
    queue(connection, &dead, table(limits)).await?;
    let rejected =
        table([("x-match", text("all-with-x")), ("x-first-death-reason", text("rejected"))]);
    bind(&channel, &dead, &dead, "", rejected).await?;
    close(&channel).await;
    Ok(())
}

/// The queue of a route, bound to its key.
pub(super) async fn route(
    connection: &Connection,
    names: &Names,
    kind: QueueKind,
    route: &Route,
) -> Result<()> {
    let name = names.queue(route);
    let mut arguments = table([
        ("x-queue-type", queue_type(kind)),
        ("x-max-length", MOST_HINTS.into()),
        ("x-max-length-bytes", MOST_BYTES.into()),
        ("x-message-ttl", HINT_LIFE.into()),
        ("x-dead-letter-exchange", text(&names.dead())),
    ]);
    if kind == QueueKind::Quorum {
        arguments.insert("x-delivery-limit".into(), MOST_RETURNS.into());
    }
    queue(connection, &name, arguments).await?;
    let channel = connection.create_channel().await?;
    bind(&channel, &name, &names.hints(), &Names::key(route), FieldTable::default()).await?;
    close(&channel).await;
    Ok(())
}

/// The marker: a queue that never holds a message and whose dead letters would go under the farm's id. The broker keeps
/// that argument, refuses to declare the queue with another one, and decides between two farms that come at once.
///
/// Fails with `PRECONDITION_FAILED` where another farm's id is there.
pub(super) async fn marker(
    connection: &Connection,
    names: &Names,
    kind: QueueKind,
    farm: &str,
) -> Result<()> {
    let channel = connection.create_channel().await?;
    let arguments = table([
        ("x-queue-type", queue_type(kind)),
        ("x-dead-letter-exchange", text(&names.dead())),
        ("x-dead-letter-routing-key", text(farm)),
    ]);
    let declared =
        channel.queue_declare(names.marker().into(), QueueDeclareOptions::durable(), arguments);
    declared.await?;
    close(&channel).await;
    Ok(())
}

/// The queue of one listener of a client on `channel`: it ends with the connection. Returns its name.
pub(super) async fn listener(
    channel: &Channel,
    names: &Names,
    client: &ClientName,
) -> Result<String> {
    let name = names.listener(client);
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let arguments = table([
        ("x-max-length", MOST_COMMANDS.into()),
        ("x-dead-letter-exchange", text(&names.dead())),
    ]);
    channel.queue_declare(name.as_str().into(), options, arguments).await?;
    bind(channel, &name, &names.commands(), client.as_str(), FieldTable::default()).await?;
    bind(channel, &name, &names.broadcast(), "", FieldTable::default()).await?;
    Ok(name)
}

/// Ends the queue of a listener.
pub(super) async fn drop_listener(channel: &Channel, name: &str) -> Result<()> {
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.map(drop)
}

/// Messages that are ready in a queue; 0 where there is no such queue.
pub(super) async fn depth(connection: &Connection, queue: &str) -> Result<u64> {
    match ask(connection, queue).await? {
        Some(ready) => Ok(u64::from(ready)),
        None => Ok(0),
    }
}

/// Declares a durable queue where there is none.
async fn queue(connection: &Connection, name: &str, arguments: FieldTable) -> Result<()> {
    if ask(connection, name).await?.is_some() {
        return Ok(());
    }
    let channel = connection.create_channel().await?;
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await?;
    close(&channel).await;
    Ok(())
}

/// How many messages are ready in a queue; `None` where there is no such queue.
async fn ask(connection: &Connection, queue: &str) -> Result<Option<u32>> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(queue.into(), options, FieldTable::default()).await {
        Ok(found) => {
            close(&channel).await;
            Ok(Some(found.message_count()))
        }
        Err(e) if is_soft(&e, AMQPSoftError::NOTFOUND) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether the broker refused one operation for this reason.
pub(super) fn is_soft(error: &lapin::Error, why: AMQPSoftError) -> bool {
    let ErrorKind::ProtocolError(said) = error.kind() else { return false };
    *said.kind() == AMQPErrorKind::Soft(why)
}

async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) -> Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await
}

fn queue_type(kind: QueueKind) -> AMQPValue {
    text(match kind {
        QueueKind::Classic => "classic",
        QueueKind::Quorum => "quorum",
    })
}

/// Ends a channel that has done its work; one that is gone already has ended too.
pub(super) async fn close(channel: &Channel) {
    let _ = channel.close(lapin::protocol::constants::REPLY_SUCCESS, "done".into()).await;
}
