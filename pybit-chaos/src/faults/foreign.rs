//! F12 on RabbitMQ: messages that are not pybit's in the queues of a farm that works.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};

use pybit::core::model::Route;
use pybit::core::transport::{Hint, WIRE_VERSION};

use super::queues;
use crate::farm::Farm;
use crate::plan::{Dice, Fault, LIGHT};

/// Twenty messages over the queues of routes and of clients' commands: nothing, noise, cut off, too large, of another
/// program, of a version to come. A consumer must count each, put it away and go on.
pub(super) async fn messages(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let service = farm.rabbitmq.as_ref().ok_or("this farm has no broker")?;
    let queues: Vec<String> = queues::all(service)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.rsplit('.').next() != Some("dead"))
        .collect();
    if queues.is_empty() {
        return Err("there is no queue".to_owned());
    }
    let hint = hint(&farm.arch).map_err(|e| e.to_string())?;
    let sent = send(&farm.broker, &queues, &hint, Dice::new(fault.amount, "messages"));
    // The broker may be killed, or stand still.
    let sent = tokio::time::timeout(Duration::from_secs(10), sent).await;
    sent.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    Ok(format!("20 messages over {} queues", queues.len()))
}

/// What a real message looks like.
fn hint(arch: &str) -> pybit::core::Result<Hint> {
    let route = Route {
        dist: "Debian".parse()?,
        arch: arch.parse()?,
        suite: LIGHT.parse()?,
        format: "deb".parse()?,
    };
    Ok(Hint::new(route, None))
}

async fn send(broker: &str, queues: &[String], hint: &Hint, mut dice: Dice) -> lapin::Result<()> {
    let ours = hint.encode();
    let later = Hint { version: WIRE_VERSION + 1, ..hint.clone() }.encode();
    let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for n in 0..20 {
        let queue = dice.pick(queues).as_str();
        let bytes: Vec<u8> = match n % 6 {
            0 => Vec::new(),
            1 => (0..dice.within(1, 100)).flat_map(|_| dice.next().to_le_bytes()).collect(),
            2 => ours[..ours.len() - 1 - n / 6].to_vec(),
            // A hint that would be read, were it not for all that stands before it.
            3 => [&vec![b' '; 1 << 20], &ours[..]].concat(),
            4 => later.clone(),
            _ => b"(lp0\nI1\na.".to_vec(),
        };
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish("".into(), queue.into(), options, &bytes, properties).await?;
    }
    connection.close(0, "".into()).await
}
