//! The broker's words as sentences that name the service and never the password.

use std::io;

use lapin::ErrorKind as Said;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use pybit_core::{Error, ErrorKind};

/// Why a broker cannot be connected to. `shown` is `RabbitMQ at amqp://host/vhost`.
pub(super) fn unreachable(shown: &str, user: &str, vhost: &str, error: &lapin::Error) -> Error {
    let (kind, why) = match error.kind() {
        Said::IOError(e) if is_tls(e) => {
            // rustls's own word for a certificate that it does not take, whatever is wrong with it.
            let ours = e.to_string().contains("peer certificate");
            let help = if ours {
                "; transport.ca_file names who signs certificates of your own"
            } else {
                ""
            };
            (ErrorKind::Invalid, format!("fails the TLS handshake: {e}{help}"))
        }
        Said::IOError(e) => (ErrorKind::Unavailable, format!("cannot be reached: {e}")),
        Said::ProtocolError(e) => match e.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                (ErrorKind::Denied, format!("refuses the user {user} or the password"))
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                let why =
                    format!("does not let the user {user} into the virtual host {vhost}: {e}");
                (ErrorKind::Denied, why)
            }
            _ => (ErrorKind::Unavailable, format!("ended the connection: {e}")),
        },
        Said::InvalidProtocolVersion(_) | Said::ParsingError(_) => {
            (ErrorKind::Invalid, "does not speak AMQP 0-9-1".to_owned())
        }
        other => (
            ErrorKind::Unavailable,
            format!("cannot be used: {}", lapin::Error::from(other.clone())),
        ),
    };
    // The cause is in the sentence.
    Error::new(kind, format!("{shown} {why}")).with_code("transport_unavailable").with_op("connect")
}

/// Why an operation of an open connection failed: what was under way is to be tried again later.
pub(super) fn failed(shown: &str, op: &'static str, error: &lapin::Error) -> Error {
    let message = format!("{shown} did not do it ({op}): {error}");
    Error::new(ErrorKind::Unavailable, message).with_code("transport_unavailable").with_op(op)
}

/// Another farm has these names.
pub(super) fn foreign_farm(shown: &str, name: &str, marker: &str) -> Error {
    let message = format!(
        "another farm already sends over {shown} under the name {name}: give this one a transport.name or a virtual \
         host of its own; if that farm is gone, delete the queue {marker}"
    );
    Error::conflict(message).with_code("foreign_farm").with_op("serve_farm")
}

/// The same failure once more: errors do not copy their causes.
pub(super) fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.message()).with_code(error.code()).with_op(error.op())
}

/// Failures of certificates and of the handshake come as `InvalidData` around an error of rustls.
fn is_tls(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}
