//! What both ends set on their sockets, and reading whole messages.

use std::time::Duration;

use pybit_core::{Error, ErrorKind};
use zmq::{Context, DONTWAIT, Message, Socket, SocketType};

use super::wire::{MAGIC, MOST_BYTES, encode};

/// A connection whose handshake takes longer is none.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Messages that wait for one peer, in either direction; beyond it a peer does not read.
const MOST_WAITING: i32 = 1000;

pub(super) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// A socket with signs of life every `beat`: a peer that misses three is gone.
pub(super) fn open(context: &Context, kind: SocketType, beat: Duration) -> zmq::Result<Socket> {
    let socket = context.socket(kind)?;
    socket.set_heartbeat_ivl(millis(beat))?;
    socket.set_heartbeat_timeout(millis(3 * beat))?;
    socket.set_heartbeat_ttl(millis(3 * beat))?;
    socket.set_handshake_ivl(millis(HANDSHAKE))?;
    socket.set_maxmsgsize(i64::try_from(MOST_BYTES).unwrap_or(i64::MAX))?;
    socket.set_sndhwm(MOST_WAITING)?;
    socket.set_rcvhwm(MOST_WAITING)?;
    socket.set_linger(0)?;
    Ok(socket)
}

/// The frames of the next message, where one is there.
pub(super) fn receive(socket: &Socket) -> Option<Vec<Message>> {
    let mut frames = vec![socket.recv_msg(DONTWAIT).ok()?];
    while frames.last().is_some_and(Message::get_more) {
        // The frames of one message come together.
        frames.push(socket.recv_msg(DONTWAIT).ok()?);
    }
    Some(frames)
}

/// Sends a message to whom the socket leads, or through a router to `peer`, without waiting.
pub(super) fn send(
    socket: &Socket,
    peer: Option<&[u8]>,
    message: &impl serde::Serialize,
) -> zmq::Result<()> {
    let body = encode(message);
    let frames = peer.into_iter().chain([MAGIC, body.as_slice()]);
    socket.send_multipart(frames, DONTWAIT)
}

/// Waits for any of these; `false` when the sockets are of no use any more.
pub(super) fn wait(items: &mut [zmq::PollItem<'_>], at_most: Duration) -> bool {
    match zmq::poll(items, i64::from(millis(at_most))) {
        Ok(_) | Err(zmq::Error::EINTR) => true,
        Err(e) => {
            tracing::error!("the ZeroMQ sockets failed: {e}");
            false
        }
    }
}

/// What could not be done with sockets at the start.
pub(super) fn failed(what: &str, error: zmq::Error) -> Error {
    let kind = match error {
        zmq::Error::EADDRINUSE => ErrorKind::Conflict,
        zmq::Error::EINVAL | zmq::Error::ENODEV => ErrorKind::Invalid,
        zmq::Error::EACCES => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("ZeroMQ cannot {what}: {}", error.message())).with_op("open")
}
