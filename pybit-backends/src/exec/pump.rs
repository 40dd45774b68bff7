//! Moves a command's output, within its limits.

use pybit_core::build::{LogSink, StepLimits};
use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind, Result};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// How the output ended.
#[derive(Debug)]
pub(super) enum Pumped {
    /// No process that could write is left.
    Ended,
    /// A limit was reached.
    Over(Exit),
    /// The log cannot be written.
    SinkFailed(Error),
}

/// Writes everything into the log until the output ends or a limit is reached.
pub(super) async fn into_log(
    mut output: Receiver,
    limits: &StepLimits,
    log: &dyn LogSink,
) -> Pumped {
    let mut room = limits.log_bytes;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read) = tokio::time::timeout(limits.silent, output.read(&mut buffer)).await else {
            return Pumped::Over(Exit::Silent);
        };
        let Ok(length @ 1..) = read else { return Pumped::Ended };
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(length);
        if let Err(e) = log.write(&buffer[..fits]).await {
            return Pumped::SinkFailed(e);
        }
        if fits < length {
            return Pumped::Over(Exit::LogLimit);
        }
        room -= fits as u64;
    }
}

/// Everything, if it is at most `max_bytes`.
pub(super) async fn into_memory(output: Receiver, max_bytes: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut bounded = output.take(max_bytes as u64 + 1);
    bounded.read_to_end(&mut bytes).await.map_err(|e| {
        Error::new(ErrorKind::Unavailable, "a tool's output cannot be read").with_source(e)
    })?;
    if bytes.len() > max_bytes {
        let message = format!("a tool said more than {max_bytes} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(bytes)
}
