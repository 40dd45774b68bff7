//! The broker that the tests use, and looks into it that the transport does not offer.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use pybit_core::settings::Settings;

/// How long an event may take that must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn url() -> String {
    std::env::var("PYBIT_TEST_AMQP_URL").expect(
        "PYBIT_TEST_AMQP_URL names no broker: `make services` starts one and prints the line that sets it",
    )
}

/// Settings of a farm that nobody has had before.
pub(crate) fn farm() -> Settings {
    let mut settings = Settings::url(url());
    let name = format!("t{:016x}", rand::random::<u64>());
    settings.options.insert("name".to_owned(), name.into());
    settings
}

/// The farm's name.
pub(crate) fn name(settings: &Settings) -> String {
    settings.options["name"].as_str().unwrap().to_owned()
}

/// A connection beside the transport's.
pub(crate) async fn look() -> (Connection, Channel) {
    let connection = Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

/// Messages that are ready in a queue.
pub(crate) async fn ready(channel: &Channel, queue: &str) -> u32 {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    found.unwrap().message_count()
}

/// Waits until a queue holds so many messages.
pub(crate) async fn until_ready(channel: &Channel, queue: &str, count: u32) {
    let seen = async {
        while ready(channel, queue).await != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let seen = tokio::time::timeout(DEADLINE, seen).await;
    assert!(seen.is_ok(), "{queue} holds {} messages", ready(channel, queue).await);
}

/// Puts bytes into a queue, as anybody with an account can.
pub(crate) async fn put(channel: &Channel, exchange: &str, key: &str, bytes: &[u8]) {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish(
        exchange.into(),
        key.into(),
        options,
        bytes,
        BasicProperties::default(),
    );
    let confirmed = sent.await.unwrap().await.unwrap();
    assert_eq!(confirmed, lapin::Confirmation::Ack(None));
}

/// Takes the next message out of a queue.
pub(crate) async fn take(channel: &Channel, queue: &str) -> Vec<u8> {
    let options = BasicGetOptions { no_ack: true };
    channel.basic_get(queue.into(), options).await.unwrap().expect("a message").delivery.data
}

pub(crate) async fn delete(channel: &Channel, queue: &str) {
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}
