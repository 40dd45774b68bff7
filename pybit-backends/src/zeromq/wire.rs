//! What the two ends say: two frames, the second one JSON.

use pybit_core::model::{ClientName, Route};
use pybit_core::transport::{Command, Hint};
use pybit_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The first frame: ours, version 1.
pub(super) const MAGIC: &[u8] = b"pybit\x01";

/// The longest second frame, in bytes: a client that listens to some hundred routes fits. ZeroMQ ends the connection of a
/// peer that sends more.
pub(super) const MOST_BYTES: usize = 64 << 10;

/// An inbox, by a number that its client has thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct InboxId(pub(super) u64);

/// A hint in a client's hands, by a number of the server's.
pub(super) type Number = u64;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToServer {
    /// "This inbox listens to these routes, and takes so many hints at once." Said again every beat, as a sign of life.
    Hints { inbox: InboxId, client: ClientName, routes: Vec<Route>, credit: u32 },
    /// "This inbox listens to the commands for this client." Said again every beat.
    Commands { inbox: InboxId, client: ClientName },
    /// The hint was acted upon.
    Done { inbox: InboxId, number: Number },
    /// The hint was not acted upon: give it to somebody.
    Back { inbox: InboxId, number: Number },
    /// The inbox is gone.
    Bye { inbox: InboxId },
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToClient {
    /// "You listen." The answer to each announcement.
    Heard { inbox: InboxId },
    /// "You may not, because …"
    Refused { inbox: InboxId, why: String },
    /// A hint for one of its routes.
    Hint { inbox: InboxId, number: Number, hint: Hint },
    /// A command.
    Command { inbox: InboxId, command: Command },
}

/// The second frame.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}

/// Reads the frames of a message; what is not ours, truncated, too long or of another version is refused.
pub(super) fn decode<T: DeserializeOwned>(frames: &[&[u8]]) -> Result<T> {
    let [magic, body] = frames else {
        return Err(Error::invalid(format!("it has {} frames instead of 2", frames.len())));
    };
    if *magic != MAGIC {
        return Err(Error::invalid("it does not begin as ours, or is of another version"));
    }
    if body.len() > MOST_BYTES {
        return Err(Error::invalid(format!("it is longer than {MOST_BYTES} bytes")));
    }
    serde_json::from_slice(body).map_err(|e| Error::invalid(format!("it cannot be read: {e}")))
}

/// What either end says, for `make fuzz`.
///
/// # Panics
///
/// Where what is taken is not written and read the same.
#[cfg(feature = "fuzz")]
pub fn fuzz_frame(bytes: &[u8]) {
    if let Ok(message) = decode::<ToServer>(&[MAGIC, bytes]) {
        assert_eq!(decode::<ToServer>(&[MAGIC, &encode(&message)]).ok(), Some(message));
    }
    if let Ok(message) = decode::<ToClient>(&[MAGIC, bytes]) {
        assert_eq!(decode::<ToClient>(&[MAGIC, &encode(&message)]).ok(), Some(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let inbox = InboxId(u64::MAX);
        let message = ToServer::Commands { inbox, client: "tahr".parse().unwrap() };
        let body = encode(&message);
        assert_eq!(decode::<ToServer>(&[MAGIC, &body]).unwrap(), message);
        let long = vec![b' '; MOST_BYTES + 1];
        let foreign: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[MAGIC],
            &[MAGIC, b""],
            &[MAGIC, b"", b""],
            &[b"pybit\x02", &body],
            &[MAGIC, &body[..body.len() - 1]],
            &[MAGIC, b"{\"py/object\":\"os.system\"}"],
            &[MAGIC, &long],
        ];
        for frames in foreign {
            decode::<ToServer>(frames).unwrap_err();
        }
    }
}
