//! A network between two ends of a TCP connection that can be cut, frozen and mended.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Connections stay and carry nothing.
    Frozen,
    /// Connections are reset, and no new ones are taken.
    Down,
}

/// Carries connections to one address until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Counts cuts: a connection that was made before the last one ends.
    cuts: watch::Sender<u32>,
    carrier: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.carrier.abort();
        self.cut();
    }
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, cuts) = (watch::Sender::new(Weather::Fine), watch::Sender::new(0));
        let carrier = tokio::spawn(carry(listener, target, weather.clone(), cuts.clone()));
        Self { address, weather, cuts, carrier }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection; new ones are taken.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Resets every connection, and takes no new ones until [`Proxy::mend`].
    pub(crate) fn down(&self) {
        self.weather.send_replace(Weather::Down);
        self.cut();
    }

    /// Carries nothing more, and lets both ends believe that the other is there.
    pub(crate) fn freeze(&self) {
        self.weather.send_replace(Weather::Frozen);
    }

    pub(crate) fn mend(&self) {
        self.weather.send_replace(Weather::Fine);
    }
}

async fn carry(
    listener: TcpListener,
    target: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u32>,
) {
    loop {
        let (near, _) = listener.accept().await.unwrap();
        if *weather.borrow() == Weather::Down {
            continue;
        }
        let (weather, mut cuts) = (weather.clone(), cuts.subscribe());
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(target).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = pump(near_in, far_out, weather.subscribe()) => {}
                () = pump(far_in, near_out, weather.subscribe()) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if weather.wait_for(|w| *w != Weather::Frozen).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
