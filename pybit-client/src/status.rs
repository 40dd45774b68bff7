//! A small page for whoever looks at the machine: what the client does now. It shows nothing secret and takes no orders.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pybit_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;

/// A reader that is slower than this is hung up on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the page's address.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let message = format!("the status page cannot listen on {address}: {e}");
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    })
}

/// Answers every request with the page, one after the other. Never ends.
pub(crate) async fn serve(client: Arc<Client>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let answered = tokio::time::timeout(PATIENCE, answer(stream, page(&client))).await;
        if !matches!(answered, Ok(Ok(()))) {
            tracing::debug!("a reader of the status page went away");
        }
    }
}

async fn answer(mut stream: TcpStream, page: String) -> std::io::Result<()> {
    // Whatever is asked for, the answer is the same; the request is read so that closing does not reset it.
    let mut request = [0; 4096];
    stream.read(&mut request).await.map(|_| ())?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

fn page(client: &Client) -> String {
    let report = &client.report;
    let mut page = format!(
        "pybit build client {} ({})\nserver   {}\nslots    {}, idle {}{}\n",
        report.name,
        report.version,
        client.shop.api.url(),
        report.slots,
        *client.idle.borrow(),
        if *client.draining.borrow() { ", draining" } else { "" },
    );
    for offer in &report.offers {
        let _ = writeln!(page, "offers   {offer}");
    }
    for (held, state) in client.shop.hands.states() {
        let _ = writeln!(page, "job      {}, attempt {}: {state:?}", held.job, held.attempt);
    }
    page
}
