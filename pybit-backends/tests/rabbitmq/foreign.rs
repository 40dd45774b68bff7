//! Messages that are not pybit's, and hints that are too many.

use pybit_core::conformance::support::{client, route, within};
use pybit_core::model::JobId;
use pybit_core::transport::{Command, Hint, Recipient, Transport};
use tracing::subscriber::DefaultGuard;

use super::log::Log;
use super::{broker, open};

/// What this thread logs, until the guard is dropped.
fn logged() -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn count(log: &Log, words: &str) -> usize {
    log.said().matches(words).count()
}

#[tokio::test]
#[ignore = "needs RabbitMQ"]
async fn foreign_messages_are_counted_logged_once_and_dead_lettered() {
    let (log, _guard) = logged();
    let settings = broker::farm();
    let name = broker::name(&settings);
    let transport = open(&settings).await;
    let mut inbox = transport.consume(&client("tahr"), &[route("amd64")], 2).await.unwrap();
    let (_connection, channel) = broker::look().await;
    let good = Hint::new(route("amd64"), Some(JobId(7))).encode();
    let elsewhere = Hint::new(route("arm64"), Some(JobId(8))).encode();
    let newer = String::from_utf8(good.clone()).unwrap().replace("\"version\":1", "\"version\":99");
    let foreign: [&[u8]; 7] = [
        b"",
        b"(i__main__\nEvil\np0\n.",
        b"{\"py/object\": \"os.system\"}",
        &good[..good.len() - 3],
        newer.as_bytes(),
        &vec![b' '; 3 << 20],
        &elsewhere,
    ];
    for bytes in foreign {
        broker::put(&channel, &name, "Debian.amd64.bookworm.deb", bytes).await;
    }
    transport.publish(&Hint::new(route("amd64"), Some(JobId(7)))).await.unwrap();
    let found = within("the hint behind them", inbox.next()).await.unwrap().unwrap();
    assert_eq!(found.hint.job, Some(JobId(7)));
    found.receipt.ack().await.unwrap();
    let dead = format!("{name}.dead");
    broker::until_ready(&channel, &dead, 7).await;
    assert_eq!(transport.foreign(), 7);
    for bytes in foreign {
        assert_eq!(broker::take(&channel, &dead).await, bytes, "they are kept as they were");
    }
    assert_eq!(count(&log, "a message that is not pybit's"), 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ"]
async fn foreign_commands_are_counted_logged_once_and_dead_lettered() {
    let (log, _guard) = logged();
    let settings = broker::farm();
    let name = broker::name(&settings);
    let transport = open(&settings).await;
    let mut inbox = transport.commands(&client("tahr")).await.unwrap();
    let (_connection, channel) = broker::look().await;
    let foreign: [&[u8]; 8] = [
        b"",
        b"(i__main__\nEvil\np0\n.",
        b"{\"version\":1,\"command\":\"be",
        b"{\"version\":99,\"command\":\"beat\"}",
        b"{\"command\":\"beat\"}",
        b"{\"version\":1,\"command\":\"format-disk\"}",
        &vec![b'['; 200_000],
        &[b"{\"version\":1,\"command\":\"beat\"}", &vec![b' '; 3 << 20][..]].concat(),
    ];
    for bytes in foreign {
        broker::put(&channel, &format!("{name}.commands"), "tahr", bytes).await;
    }
    transport.send_command(&Recipient::All, &Command::Beat).await.unwrap();
    let found = within("the command behind them", inbox.next()).await.unwrap();
    assert_eq!(found, Some(Command::Beat));
    let dead = format!("{name}.dead");
    broker::until_ready(&channel, &dead, 8).await;
    assert_eq!(transport.foreign(), 8);
    for bytes in foreign {
        assert_eq!(broker::take(&channel, &dead).await, bytes, "they are kept as they were");
    }
    assert_eq!(count(&log, "a message that is not pybit's"), 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ"]
async fn hints_never_pile_up_and_forgotten_ones_are_no_dead_letters() {
    let settings = broker::farm();
    let transport = open(&settings).await;
    let hints: Vec<_> = (1..=1010).map(|n| Hint::new(route("amd64"), Some(JobId(n)))).collect();
    transport.publish_all(&hints).await.unwrap();
    assert_eq!(transport.depth(&route("amd64")).await.unwrap(), 1000);
    let mut inbox = transport.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let oldest = within("a hint", inbox.next()).await.unwrap().unwrap();
    assert_eq!(oldest.hint.job, Some(JobId(11)), "the oldest are forgotten");
    let (_connection, channel) = broker::look().await;
    assert_eq!(broker::ready(&channel, &format!("{}.dead", broker::name(&settings))).await, 0);
}
