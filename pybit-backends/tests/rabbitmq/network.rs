//! What a network does, and queues that somebody deletes.

use std::collections::BTreeSet;
use std::time::Duration;

use pybit_core::ErrorKind;
use pybit_core::conformance::support::{client, route};
use pybit_core::model::JobId;
use pybit_core::settings::Settings;
use pybit_core::transport::{Delivery, Hint, Inbox, Recipient, Transport};

use super::broker::{self, DEADLINE};
use super::open;
use super::proxy::Proxy;

/// A network to the broker, and the settings of the farm at its near end.
pub(super) async fn through_proxy(settings: &Settings) -> (Proxy, Settings) {
    let mut url = url::Url::parse(&settings.url).unwrap();
    let target = url.socket_addrs(|| Some(5672)).unwrap()[0];
    let proxy = Proxy::to(target).await;
    url.set_port(Some(proxy.address().port())).unwrap();
    let near = Settings { url: url.into(), options: settings.options.clone() };
    (proxy, near)
}

fn hint(job: i64) -> Hint {
    Hint::new(route("amd64"), Some(JobId(job)))
}

async fn next(inbox: &mut dyn Inbox) -> Delivery {
    let delivery = tokio::time::timeout(DEADLINE, inbox.next()).await.expect("a hint in time");
    delivery.unwrap().expect("the transport is open")
}

/// Waits until the transport's health is, or is not, fine; what it said last.
pub(super) async fn until_healthy(transport: &dyn Transport, fine: bool) -> String {
    let look = async {
        loop {
            let health = transport.health().await;
            if health.is_ok() == fine {
                return health.err().map_or_else(String::new, |e| e.to_string());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.expect("its health changes in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_lost_connection_comes_back_and_everything_flows_again() {
    let direct = broker::farm();
    let (proxy, near) = through_proxy(&direct).await;
    let server = open(&direct).await;
    let remote = open(&near).await;
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let mut commands = remote.commands(&client("tahr")).await.unwrap();
    server.publish(&hint(1)).await.unwrap();
    next(&mut *hints).await.receipt.ack().await.unwrap();

    proxy.down();
    let said = until_healthy(&remote, false).await;
    assert!(said.contains("RabbitMQ at amqp://127.0.0.1"), "{said}");
    let refused = remote.publish(&hint(9)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    server.publish(&hint(2)).await.unwrap();
    proxy.mend();

    // The same inboxes, without a word from their owner.
    let mut waited = next(&mut *hints).await;
    if waited.hint.job == Some(JobId(1)) {
        // Its receipt was on its way when the line went.
        waited.receipt.ack().await.unwrap();
        waited = next(&mut *hints).await;
    }
    assert_eq!(waited.hint.job, Some(JobId(2)));
    waited.receipt.ack().await.unwrap();
    until_healthy(&remote, true).await;
    remote.publish(&hint(3)).await.unwrap();
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(3)));
    let beat = pybit_core::transport::Command::Beat;
    let heard = async {
        // What was said before it listens again is missed: that is the contract.
        loop {
            server.send_command(&Recipient::Client(client("tahr")), &beat).await.unwrap();
            let soon = tokio::time::timeout(Duration::from_millis(100), commands.next());
            if let Ok(command) = soon.await {
                return command.unwrap();
            }
        }
    };
    assert_eq!(tokio::time::timeout(DEADLINE, heard).await.unwrap(), Some(beat));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_receipt_from_before_the_loss_is_void_and_its_hint_comes_again() {
    let direct = broker::farm();
    let (proxy, near) = through_proxy(&direct).await;
    let remote = open(&near).await;
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 2).await.unwrap();
    remote.publish(&hint(1)).await.unwrap();
    let held = next(&mut *hints).await;
    proxy.cut();
    let again = next(&mut *hints).await;
    assert_eq!(again.hint.job, Some(JobId(1)));
    let void = held.receipt.ack().await.unwrap_err();
    assert_eq!(void.kind(), ErrorKind::Unavailable);
    again.receipt.ack().await.unwrap();
    until_healthy(&remote, true).await;
    assert_eq!(remote.depth(&route("amd64")).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_silent_network_is_noticed() {
    let mut direct = broker::farm();
    direct.options.insert("heartbeat_secs".to_owned(), 1.into());
    let (proxy, near) = through_proxy(&direct).await;
    let remote = open(&near).await;
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    proxy.freeze();
    until_healthy(&remote, false).await;
    // Both ends have given the connection up; the next ones find a network again.
    tokio::time::timeout(DEADLINE, async {
        while remote.health().await.unwrap_err().to_string().contains("does not answer") {}
    })
    .await
    .expect("the connection is given up in time");
    proxy.mend();
    until_healthy(&remote, true).await;
    remote.publish(&hint(1)).await.unwrap();
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn no_confirmed_hint_is_lost_over_many_cuts() {
    let direct = broker::farm();
    let (proxy, near) = through_proxy(&direct).await;
    let (server, remote) = (open(&near).await, open(&near).await);
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 4).await.unwrap();
    let sender = async {
        for job in 1..=200 {
            if job % 40 == 0 {
                proxy.cut();
            }
            while server.publish(&hint(job)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let receiver = async {
        let mut jobs = BTreeSet::new();
        while jobs.len() < 200 {
            let delivery = next(&mut *hints).await;
            jobs.insert(delivery.hint.job.unwrap().0);
            // A receipt that a cut has voided brings its hint again: at least once is the promise.
            let _ = delivery.receipt.ack().await;
        }
        jobs
    };
    let ((), jobs) = tokio::join!(sender, receiver);
    assert_eq!(jobs, (1..=200).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_deleted_queue_is_made_again() {
    let settings = broker::farm();
    let transport = open(&settings).await;
    let other = route("arm64");
    let mut hints =
        transport.consume(&client("tahr"), &[other.clone(), route("amd64")], 1).await.unwrap();
    let (_connection, channel) = broker::look().await;
    let name = broker::name(&settings);
    broker::delete(&channel, &format!("{name}.Debian_amd64_bookworm_deb")).await;
    // The publisher learns it from the returned message, the consumer from the broker.
    transport.publish(&hint(1)).await.unwrap();
    let found = next(&mut *hints).await;
    assert_eq!(found.hint.job, Some(JobId(1)));
    found.receipt.ack().await.unwrap();
    transport.publish(&Hint::new(other, Some(JobId(2)))).await.unwrap();
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn the_broker_delivers_as_much_as_credit_allows_and_takes_the_rest_back() {
    let settings = broker::farm();
    let transport = open(&settings).await;
    let hints: Vec<_> = (1..=10).map(hint).collect();
    transport.publish_all(&hints).await.unwrap();
    let mut inbox = transport.consume(&client("tahr"), &[route("amd64")], 3).await.unwrap();
    let (_connection, channel) = broker::look().await;
    let queue = format!("{}.Debian_amd64_bookworm_deb", broker::name(&settings));
    broker::until_ready(&channel, &queue, 7).await;
    let held = next(&mut *inbox).await;
    drop(inbox);
    // The two that nobody has looked at go back at once, the one in hand stays until its receipt says what came of it.
    broker::until_ready(&channel, &queue, 9).await;
    held.receipt.ack().await.unwrap();
    assert_eq!(transport.depth(&route("amd64")).await.unwrap(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_closed_transport_ends_its_inboxes() {
    let transport = open(&broker::farm()).await;
    let mut hints = transport.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let mut commands = transport.commands(&client("tahr")).await.unwrap();
    transport.close().await;
    assert!(tokio::time::timeout(DEADLINE, hints.next()).await.unwrap().unwrap().is_none());
    assert!(tokio::time::timeout(DEADLINE, commands.next()).await.unwrap().unwrap().is_none());
    assert_eq!(transport.publish(&hint(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_full_queue_gets_no_more_hints_until_there_is_room() {
    let settings = broker::farm();
    let server = open(&settings).await;
    // It keeps a thousand.
    for batch in 0..8 {
        let hints: Vec<_> = (batch * 250..(batch + 1) * 250).map(hint).collect();
        server.publish_all(&hints).await.unwrap();
    }
    assert_eq!(server.depth(&route("amd64")).await.unwrap(), 1000);
    let reader = open(&settings).await;
    let mut inbox = reader.consume(&client("tahr"), &[route("amd64")], 100).await.unwrap();
    let mut newest = 0;
    for _ in 0..1000 {
        let delivery = next(&mut *inbox).await;
        newest = newest.max(delivery.hint.job.unwrap().0);
        delivery.receipt.ack().await.unwrap();
    }
    assert!(newest < 1999, "the last ones were not sent: {newest}");
    // There is room again, and that is seen within a second or so.
    let refilled = async {
        for n in 5000.. {
            server.publish_all(&[hint(n), hint(n)]).await.unwrap();
            if server.depth(&route("amd64")).await.unwrap() > 0 {
                return;
            }
            tokio::select! {
                heard = inbox.next() => {
                    heard.unwrap().unwrap().receipt.ack().await.unwrap();
                    return;
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, refilled).await.expect("new hints come through");
}
