//! The connection's socket, with a plug that can be pulled.
//!
//! lapin gives every connection a thread of its own, and a connection that is given up before it stands keeps its thread as
//! long as the broker keeps the socket open: one for each try, while a broker hangs (seen with 4.12.3).

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPScheme};
use lapin::{Connection, ConnectionProperties, runtime};

use super::config::Broker;

/// Ends the socket when it is dropped: whoever reads or writes finds it closed.
#[derive(Debug, Default)]
pub(super) struct Plug(Arc<Mutex<Option<TcpStream>>>);

impl Drop for Plug {
    fn drop(&mut self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that has ended already needs no end.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Connects to the broker; the socket hangs on `plug` from its first moment.
pub(super) async fn connect(
    broker: &Broker,
    properties: ConnectionProperties,
    plug: &Plug,
) -> lapin::Result<Connection> {
    let AMQPAuthority { host, port, .. } = &broker.uri.authority;
    let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), *port)).await?.collect();
    let (tls, held) = (broker.tls.clone(), Arc::clone(&plug.0));
    Connection::connector(
        broker.uri.clone(),
        runtime::default_runtime()?,
        async move |uri, runtime| {
            let mut tried = Err(std::io::ErrorKind::NotFound.into());
            for address in &addresses {
                tried = AsyncTcpStream::connect(&runtime, *address).await;
                if tried.is_ok() {
                    break;
                }
            }
            let stream = tried?;
            if let AsyncTcpStream::Plain(plain) = &stream {
                let copy = plain.get_ref().as_fd().try_clone_to_owned()?;
                *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy.into());
            }
            Ok(match uri.scheme {
                AMQPScheme::AMQP => stream,
                AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.as_ref()).await?,
            })
        },
        properties,
    )
    .await
}
