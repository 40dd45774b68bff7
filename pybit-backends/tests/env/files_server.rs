//! A web server of plain files on loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Serves the files below a directory, and sends everything below `/moved/` elsewhere.
pub(crate) async fn serve(root: PathBuf) -> SocketAddr {
    serve_to(root, None).await
}

/// The same for those who send this `Authorization`.
pub(crate) async fn serve_to(root: PathBuf, who: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut request = BufReader::new(&mut peer).lines();
            // A connection without a request is a look at whether anybody is here.
            let Some(first) = request.next_line().await.unwrap() else { continue };
            let mut proof = None;
            while let Some(line) = request.next_line().await.unwrap().filter(|l| !l.is_empty()) {
                proof = proof.or(line.strip_prefix("Authorization: ").map(str::to_owned));
            }
            let path = first.split([' ', '?']).nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match (path.strip_prefix("moved/"), fs::read(root.join(path))) {
                _ if who.is_some() && proof.as_deref() != who => {
                    ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"".to_owned(), vec![])
                }
                (Some(rest), _) => (format!("302 Found\r\nLocation: /{rest}"), vec![]),
                (None, Ok(body)) => ("200 OK".to_owned(), body),
                (None, Err(_)) => ("404 Not Found".to_owned(), vec![]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            peer.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        }
    });
    address
}
