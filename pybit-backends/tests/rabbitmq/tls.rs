//! `amqps:`, to the broker's own TLS; and to a terminator in front of it where the test signs the certificate itself.

use std::net::SocketAddr;
use std::sync::Arc;

use pybit_backends::rabbitmq::RabbitTransport;
use pybit_core::ErrorKind;
use pybit_core::conformance::support::{client, route, within};
use pybit_core::model::JobId;
use pybit_core::settings::Settings;
use pybit_core::transport::{Hint, Transport};
use rcgen::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::{broker, open};

/// Takes TLS connections for the broker; its certificate, PEM.
async fn terminator(target: SocketAddr) -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, cert.pem())
}

fn amqps(plain: &Settings, host: &str, port: u16) -> Settings {
    let url = url::Url::parse(&plain.url).unwrap();
    let user = format!("{}:{}", url.username(), url.password().unwrap_or_default());
    let url = format!("amqps://{user}@{host}:{port}{}", url.path());
    Settings { url, options: plain.options.clone() }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `make services` prints it"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn the_brokers_own_tls_and_a_virtual_host_with_a_name() {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let mut settings = broker::farm();
    settings.url = variable("PYBIT_TEST_AMQPS_URL");
    let untrusted = RabbitTransport::open(&settings).await.unwrap_err();
    assert_eq!(untrusted.kind(), ErrorKind::Invalid, "{untrusted:?}");
    let said = untrusted.to_string();
    assert!(said.contains("ca_file") && said.contains("/build%20farm%2Fone"), "{said}");

    settings.options.insert("ca_file".to_owned(), variable("PYBIT_TEST_AMQP_CA").into());
    let near = open(&settings).await;
    let mut inbox = near.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let far = open(&settings).await;
    far.serve_farm("aaaa").await.unwrap();
    far.publish(&Hint::new(route("amd64"), Some(JobId(7)))).await.unwrap();
    let found = within("a hint over TLS", inbox.next()).await.unwrap().unwrap();
    assert_eq!(found.hint.job, Some(JobId(7)));
    found.receipt.ack().await.unwrap();
    far.health().await.unwrap();

    // Another virtual host knows neither the farm nor its queues.
    let plain = Settings { url: broker::url(), options: settings.options.clone() };
    let other = open(&plain).await;
    other.serve_farm("bbbb").await.expect("a farm of its own");

    let wrong = url::Url::parse(&settings.url).map(|mut url| {
        url.set_password(Some("hunter2")).unwrap();
        url.to_string()
    });
    let wrong = Settings { url: wrong.unwrap(), options: settings.options.clone() };
    let refused = RabbitTransport::open(&wrong).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn tls_needs_a_certificate_that_is_trusted_and_names_the_host() {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let plain = broker::farm();
    let target = url::Url::parse(&plain.url).unwrap().socket_addrs(|| Some(5672)).unwrap()[0];
    let (address, certificate) = terminator(target).await;
    let mut settings = amqps(&plain, "localhost", address.port());
    let untrusted = RabbitTransport::open(&settings).await.unwrap_err();
    assert_eq!(untrusted.kind(), ErrorKind::Invalid, "{untrusted:?}");
    assert!(untrusted.to_string().contains("TLS handshake"), "{untrusted}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    settings.options.insert("ca_file".to_owned(), file.path().to_str().unwrap().into());
    let transport = open(&settings).await;
    transport.publish(&Hint::new(route("amd64"), None)).await.unwrap();
    assert_eq!(transport.depth(&route("amd64")).await.unwrap(), 1);

    settings.url = amqps(&plain, "127.0.0.1", address.port()).url;
    let other_name = RabbitTransport::open(&settings).await.unwrap_err();
    assert_eq!(other_name.kind(), ErrorKind::Invalid, "{other_name:?}");
}
