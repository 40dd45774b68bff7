//! The status page.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Farm;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::machine::State;
use crate::peer::TOKEN;
use crate::status;

#[tokio::test]
async fn the_status_page_shows_the_jobs_in_hand_and_no_token() {
    let farm = Farm::new(&[]).await;
    let client = Client::open(&farm.config(), farm.toolbox(), Backoff::server()).unwrap();
    let _grip = client.shop.hands.take(pybit_core::model::JobId(7), 2, State::Building);
    let listener = status::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(status::serve(Arc::new(client), listener));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    serving.abort();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(page.contains("pybit build client builder1"), "{page}");
    assert!(page.contains("job      7, attempt 2: Building"), "{page}");
    assert!(!page.contains(TOKEN));
}
