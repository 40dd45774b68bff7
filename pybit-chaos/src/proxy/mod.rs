//! A TCP proxy that does what networks do: it stands between clients and servers, and between servers and services.

mod request;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use request::{body_at, changes_something, cut, diverged, has_body, turn_a_bit, whole};

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It works.
    Clear,
    /// Nothing arrives, and nobody is told. Connections that saw it are reset when it ends.
    Blackhole,
    /// The server's side is closed, the client's side stays open and silent.
    HalfOpen,
    /// Every piece is this late.
    Delay(Duration),
    /// One byte at a time, with this pause.
    Trickle(Duration),
}

/// What is done to one request that comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// It reaches the server; its answer does not come back.
    DropReply,
    /// It reaches the server a second time, over another connection.
    Duplicate,
    /// A file's bytes are cut after so many, or before the last of them, and the connection is reset.
    CutUpload(usize),
    /// A piece of a log reaches the server a second time, with other bytes and more of them.
    Diverge,
    /// One bit of the body arrives as another, by this draw.
    FlipRequest(usize),
    /// One bit of the answer's body arrives as another, by this draw.
    FlipAnswer(usize),
}

#[derive(Debug)]
struct State {
    weather: Weather,
    tricks: VecDeque<Trick>,
    /// Tricks that were played.
    played: u64,
    connections: u64,
}

/// What the two directions of a connection share.
#[derive(Debug, Clone, Default)]
struct Pair {
    /// Its next answer is lost.
    lost: Arc<AtomicBool>,
    /// A bit of its next answer with a body is turned, by this draw.
    turned: Arc<Mutex<Option<usize>>>,
    /// It is broken.
    broken: CancellationToken,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    /// Counts resets: every connection of an older count is cut.
    cut: watch::Sender<u64>,
}

impl Proxy {
    /// Opens a line to a port of this machine.
    pub(crate) async fn open(to: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            state: Arc::new(Mutex::new(State {
                weather: Weather::Clear,
                tricks: VecDeque::new(),
                played: 0,
                connections: 0,
            })),
            cut: watch::Sender::new(0),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = accepting.clone();
                tokio::spawn(async move { line.connect(client, to).await });
            }
        });
        Ok(proxy)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Ends every trouble; those whom it met are reset.
    pub(crate) fn clear(&self) {
        self.state().weather = Weather::Clear;
        self.reset();
    }

    /// Forgets tricks that found nobody.
    pub(crate) fn calm(&self) {
        self.state().tricks.clear();
    }

    /// Resets every open connection.
    pub(crate) fn reset(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    pub(crate) fn trick(&self, trick: Trick) {
        self.state().tricks.push_back(trick);
    }

    /// Connections so far, and tricks played.
    pub(crate) fn seen(&self) -> (u64, u64) {
        let state = self.state();
        (state.connections, state.played)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self, client: TcpStream, to: u16) {
        let mut cut = self.cut.subscribe();
        cut.mark_unchanged();
        self.state().connections += 1;
        let _ = client.set_zero_linger();
        let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true), server.set_zero_linger());
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let pair = Pair::default();
        let up = self.clone().upwards(from_client, to_server, pair.clone(), to);
        let down = self.clone().downwards(from_server, to_client, pair.clone());
        // Both ends are dropped together, with a linger of zero: a reset.
        tokio::select! {
            _ = cut.changed() => {}
            () = pair.broken.cancelled() => {}
            () = async { tokio::join!(up, down); } => {}
        }
    }

    async fn upwards(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, pair: Pair, port: u16) {
        let mut buffer = vec![0; 64 << 10];
        // How many bytes pass before the cut.
        let mut left = None;
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let bytes = &mut buffer[..length];
            let trick = if left.is_none() { self.trick_for(bytes) } else { None };
            match trick {
                Some(Trick::CutUpload(after)) => left = Some(cut(bytes, after)),
                Some(Trick::DropReply) => {
                    pair.lost.store(true, Ordering::SeqCst);
                }
                Some(Trick::FlipRequest(draw)) => turn_a_bit(bytes, draw),
                Some(Trick::FlipAnswer(draw)) => {
                    *pair.turned.lock().unwrap_or_else(PoisonError::into_inner) = Some(draw);
                }
                Some(Trick::Duplicate) => {
                    let again = bytes.to_vec();
                    tokio::spawn(async move { repeat(again, port).await });
                }
                Some(Trick::Diverge) => {
                    let again = diverged(bytes);
                    tokio::spawn(async move {
                        // After the piece itself: it is the true one.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        repeat(again, port).await;
                    });
                }
                None => {}
            }
            if let Some(left) = left.as_mut() {
                let pass = length.min(*left);
                *left -= pass;
                if pass < length || *left == 0 {
                    let _ = to.write_all(&bytes[..pass]).await;
                    let _ = to.flush().await;
                    pair.broken.cancel();
                    return;
                }
            }
            if !self.pass(bytes, &mut to).await {
                return;
            }
        }
        let _ = to.shutdown().await;
    }

    async fn downwards(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, pair: Pair) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if pair.lost.load(Ordering::SeqCst) {
                pair.broken.cancel();
                return;
            }
            let bytes = &mut buffer[..length];
            if has_body(bytes)
                && let Some(draw) =
                    pair.turned.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                turn_a_bit(bytes, draw);
            }
            if !self.pass(bytes, &mut to).await {
                return;
            }
        }
        let _ = to.shutdown().await;
    }

    /// Whether the other side still listens.
    async fn pass(&self, bytes: &[u8], to: &mut OwnedWriteHalf) -> bool {
        let weather = self.state().weather;
        match weather {
            Weather::Clear => to.write_all(bytes).await.is_ok(),
            // The end of the weather resets this connection.
            Weather::Blackhole => std::future::pending().await,
            Weather::HalfOpen => {
                let _ = to.shutdown().await;
                std::future::pending().await
            }
            Weather::Delay(late) => {
                tokio::time::sleep(late).await;
                to.write_all(bytes).await.is_ok()
            }
            Weather::Trickle(pause) => {
                for byte in bytes {
                    if self.state().weather != weather {
                        break;
                    }
                    if to.write_all(&[*byte]).await.is_err() {
                        return false;
                    }
                    tokio::time::sleep(pause).await;
                }
                // What is left is lost with the connection, which the weather's end resets.
                true
            }
        }
    }

    /// The trick that is waiting, if this is a request that it can be played on.
    fn trick_for(&self, bytes: &[u8]) -> Option<Trick> {
        let mut state = self.state();
        let trick = *state.tricks.front()?;
        let fits = match trick {
            Trick::CutUpload(_) => bytes.starts_with(b"PATCH ") && body_at(bytes).is_some(),
            Trick::Diverge => {
                let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
                line.starts_with(b"PATCH ")
                    && line.windows(5).any(|w| w == b"/log?")
                    && whole(bytes)
            }
            Trick::FlipRequest(_) => changes_something(bytes) && has_body(bytes),
            Trick::DropReply | Trick::Duplicate | Trick::FlipAnswer(_) => {
                changes_something(bytes) && whole(bytes)
            }
        };
        if !fits {
            return None;
        }
        state.tricks.pop_front();
        state.played += 1;
        Some(trick)
    }
}

/// Sends a request once more and reads what comes of it for a while.
async fn repeat(bytes: Vec<u8>, port: u16) {
    let again = async {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        server.write_all(&bytes).await.ok()?;
        let mut answer = vec![0; 4096];
        server.read(&mut answer).await.ok()
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), again).await;
}
