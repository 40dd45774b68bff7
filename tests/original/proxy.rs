//! A connection that breaks where a test wants it: it stands between a client and the server, and counts what is sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::support::{DEADLINE, wait_for};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They work.
    Pass,
    /// There are none.
    Away,
    /// They break, and there are none any more, once so many bytes were sent.
    CutAfter(u64),
    /// The same, before the request that holds this word is sent.
    CutBefore(&'static str),
    /// The same, after that request was sent and before its answer arrives.
    LoseAnswer(&'static str),
}

/// A way to the server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fate: Fate,
    /// Bytes that were sent to the server since the fate was set.
    sent: u64,
    open: Vec<TcpStream>,
    closed: bool,
}

impl Proxy {
    /// Listens on a port of its own and sends everything on to `server`.
    pub(crate) fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { fate: Fate::Pass, sent: 0, open: Vec::new(), closed: false };
        let shared = Arc::new(Shared { server, state: Mutex::new(state) });
        let proxy = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.state().closed {
                    return;
                }
                shared.connect(client);
            }
        });
        proxy
    }

    /// What a client takes for the server's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Decides what becomes of connections from now on, and counts from 0.
    pub(crate) fn set(&self, fate: Fate) {
        let mut state = self.shared.state();
        (state.fate, state.sent) = (fate, 0);
        if fate == Fate::Away {
            state.cut();
        }
    }

    /// Waits until the connection was broken as it was to be.
    pub(crate) fn wait_cut(&self) {
        let is_away = || (self.shared.state().fate == Fate::Away).then_some(());
        wait_for("the connection to break", DEADLINE, is_away);
    }

    /// Bytes that were sent to the server since the fate was set.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.state().sent
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.cut();
        drop(state);
        // The listener looks at `closed` when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn cut(&mut self) {
        self.fate = Fate::Away;
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.state();
        if state.fate == Fate::Away {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            state.open.push(stream.try_clone().unwrap());
        }
        drop(state);
        let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let lost = Arc::new(Mutex::new(false));
        let (upwards, downwards) = (Arc::clone(self), Arc::clone(self));
        let losing = Arc::clone(&lost);
        thread::spawn(move || pump(client, server, |bytes| upwards.request(bytes, &losing)));
        thread::spawn(move || pump(from, to, |bytes| downwards.answer(bytes, &lost)));
    }

    /// How many of the bytes of a request are sent on.
    fn request(&self, bytes: &[u8], lost: &Mutex<bool>) -> usize {
        let mut state = self.state();
        let length = bytes.len() as u64;
        match state.fate {
            Fate::CutAfter(most) if state.sent + length > most => {
                let fits = usize::try_from(most - state.sent).unwrap();
                state.cut();
                return fits;
            }
            Fate::CutBefore(word) if holds(bytes, word) => {
                state.cut();
                return 0;
            }
            Fate::LoseAnswer(word) if holds(bytes, word) => *lost.lock().unwrap() = true,
            _ => {}
        }
        state.sent += length;
        bytes.len()
    }

    /// How many of the bytes of an answer arrive.
    fn answer(&self, bytes: &[u8], lost: &Mutex<bool>) -> usize {
        if *lost.lock().unwrap() {
            self.state().cut();
            return 0;
        }
        bytes.len()
    }
}

/// A request's first line comes in one piece: clients write it at once.
fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|w| w == word.as_bytes())
}

fn pump(mut from: TcpStream, mut to: TcpStream, pass: impl Fn(&[u8]) -> usize) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let passed = pass(&buffer[..length]);
        if to.write_all(&buffer[..passed]).is_err() || passed < length {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
