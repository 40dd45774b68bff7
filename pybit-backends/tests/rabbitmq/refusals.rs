//! Brokers that refuse, are not there, or are none; and hints that no queue takes.

use pybit_backends::rabbitmq::{RabbitFactory, RabbitTransport};
use pybit_core::ErrorKind;
use pybit_core::conformance::support::{client, route};
use pybit_core::settings::{Registry, Settings};
use pybit_core::transport::{Hint, Transport};
use url::Url;

use super::{broker, open};

/// The broker's URL with something changed.
fn url(change: impl FnOnce(&mut Url)) -> Settings {
    let mut url = Url::parse(&broker::url()).unwrap();
    change(&mut url);
    Settings::url(url)
}

async fn refused(settings: &Settings) -> (ErrorKind, String) {
    let error = RabbitTransport::open(settings).await.unwrap_err();
    let (said, all) = (error.to_string(), format!("{error:?}"));
    assert!(said.starts_with("RabbitMQ at amqp"), "{said}");
    assert!(!said.contains('\n') && !all.contains("hunter2"), "{all}");
    (error.kind(), said)
}

#[tokio::test]
#[ignore = "needs RabbitMQ"]
async fn a_wrong_password_is_one_sentence_without_it() {
    let (kind, said) = refused(&url(|u| u.set_password(Some("hunter2")).unwrap())).await;
    assert_eq!(kind, ErrorKind::Denied);
    assert!(said.contains("refuses the user"), "{said}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ"]
async fn an_unknown_virtual_host_is_named() {
    let (kind, said) = refused(&url(|u| u.set_path("/no-such-host"))).await;
    assert_eq!(kind, ErrorKind::Denied);
    assert!(said.contains("no-such-host"), "{said}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_waited_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = Registry::<dyn Transport>::new("transport").with(RabbitFactory);
    let settings = Settings::url(format!("amqp://ann:hunter2@{free}/farm"));
    let transport = registry.open(&settings).await.expect("it may come");
    for refused in [
        transport.health().await.unwrap_err(),
        transport.publish(&Hint::new(route("amd64"), None)).await.unwrap_err(),
        transport.depth(&route("amd64")).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        let said = format!("{refused} {refused:?}");
        assert!(
            said.contains(&format!("RabbitMQ at amqp://{free}/farm cannot be reached")),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    // Inboxes are there and silent.
    let mut inbox = transport.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let soon = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, inbox.next()).await.is_err());
    transport.close().await;
    assert!(inbox.next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_given_up_is_closed() {
    use tokio::io::AsyncReadExt;
    // It takes the connection and never says a word, as a broker that is stopped does.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let opening = tokio::spawn(async move {
        RabbitTransport::open(&Settings::url(format!("amqp://{address}"))).await
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"AMQP\0\0\x09\x01");
    opening.abort();
    let ended = tokio::time::timeout(broker::DEADLINE, stream.read(&mut greeting)).await;
    assert_eq!(ended.expect("it is closed in time").unwrap_or(0), 0);
}

#[tokio::test]
async fn what_speaks_another_protocol_is_no_broker() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let web = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let transport = RabbitTransport::open(&Settings::url(format!("amqp://{address}"))).await;
    let said = match transport {
        Err(refused) => refused.to_string(),
        Ok(transport) => transport.health().await.unwrap_err().to_string(),
    };
    assert!(said.starts_with(&format!("RabbitMQ at amqp://{address}")), "{said}");
    web.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_hint_without_a_queue_is_reported_where_nothing_may_be_declared() {
    let mut settings = broker::farm();
    let declaring = open(&settings).await;
    settings.options.insert("declare".to_owned(), false.into());
    let transport = open(&settings).await;
    let hint = Hint::new(route("amd64"), None);
    let refused = transport.publish(&hint).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Unavailable, "unroutable"));
    assert!(refused.to_string().contains("Debian_amd64_bookworm_deb"), "{refused}");
    let missing = transport.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap_err();
    assert!(missing.to_string().contains("Debian_amd64_bookworm_deb"), "{missing}");
    declaring.publish(&hint).await.unwrap();
    transport.publish(&hint).await.expect("somebody has declared it");
    assert_eq!(transport.depth(&route("amd64")).await.unwrap(), 2);
}
