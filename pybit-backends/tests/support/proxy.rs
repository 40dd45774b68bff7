//! A way to the server that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the way does with bytes and new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Carries them.
    Open,
    /// Ends every connection, old and new.
    Cut,
    /// Takes everything and carries nothing.
    Silent,
}

/// A port that carries to another, as long as it is open.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
}

impl Proxy {
    /// An open way to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(watch::Sender::new(Way::Open));
        let ways = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, target, ways.subscribe()));
            }
        });
        Self { address, way }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn carry(mut stream: TcpStream, target: SocketAddr, mut way: watch::Receiver<Way>) {
    let Ok(mut other) = TcpStream::connect(target).await else { return };
    loop {
        let now = *way.borrow_and_update();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut stream, &mut other), if now == Way::Open => return,
            changed = way.changed(), if now != Way::Cut => if changed.is_err() { return },
            else => return,
        }
    }
}
