//! F12: bytes that are no messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::chosen;
use crate::farm::Farm;
use crate::plan::{Backends, Dice, Fault};

/// Ten connections to a server, or to the farm's hint socket, with nonsense on each.
pub(super) async fn garbage(farm: &Arc<Farm>, fault: &Fault) -> Result<String, String> {
    let mut ports = farm.ports.clone();
    if farm.made.backends == Backends::SqliteZero {
        ports.push(farm.broker_port);
    }
    let port = chosen(&ports, fault)?;
    let mut dice = Dice::new(fault.amount, "garbage");
    let mut sent = 0;
    for n in 0..10 {
        let noise: Vec<u8> =
            (0..dice.within(1, 2000)).flat_map(|_| dice.next().to_le_bytes()).collect();
        let bytes: Vec<u8> = match n % 5 {
            0 => noise,
            1 => {
                b"POST /api/v1/submissions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n{"
                    .to_vec()
            }
            2 => b"POST /api/v1/client/claim HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
                .to_vec(),
            // The greeting of ZeroMQ, and then nonsense.
            3 => [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0][..], &noise].concat(),
            _ => b"GET /../../etc/passwd HTTP/1.1\r\n\r\n".to_vec(),
        };
        let one = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            stream.write_all(&bytes).await.ok()
        };
        let gone = tokio::time::timeout(Duration::from_secs(1), one).await;
        sent += u32::from(matches!(gone, Ok(Some(()))));
    }
    Ok(format!("{sent} of 10 to port {port}"))
}
