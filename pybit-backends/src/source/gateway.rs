//! An HTTP proxy on this machine's loopback that reaches the hosts that sources may come from, and no others.
//!
//! For tools that follow links and redirects by themselves: each connection is judged when it is made, and goes to an
//! address that was looked at. `CONNECT` and plain `http:` requests in absolute form (RFC 9112, 3.2.2) are served, one
//! for each connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pybit_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use url::Url;

use super::reach::{AllowedHost, addresses};
use crate::exec::one_line;

/// The most bytes of a request's head.
const HEAD: usize = 16 << 10;
/// How long a head may take to come, and a server to be connected to.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at once.
const CROWD: usize = 16;

/// An open proxy; dropped, it and its connections end.
#[derive(Debug)]
pub(super) struct Gateway {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Opens one on a free port.
    pub(super) async fn open(allowed: Vec<AllowedHost>) -> Result<Self> {
        let text = |e: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot open a proxy on loopback: {e}"))
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        Ok(Self { address, task: tokio::spawn(accept(listener, allowed.into())) })
    }

    /// What `http_proxy` and its like are set to.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, allowed: Arc<[AllowedHost]>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CROWD {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else { return };
        let allowed = Arc::clone(&allowed);
        connections.spawn(async move {
            // What goes wrong after the answer has begun, the tool sees by itself.
            let _ = serve(stream, &allowed).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, allowed: &[AllowedHost]) -> std::io::Result<()> {
    let Ok(Some((head, rest))) = timeout(PATIENCE, read_head(&mut client)).await else {
        return Ok(());
    };
    let (mut server, first) = match reach(&head, allowed).await {
        Ok(reached) => reached,
        Err(why) => {
            let why = one_line(&why.to_string());
            let answer =
                format!("HTTP/1.1 403 {why}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return client.write_all(answer.as_bytes()).await;
        }
    };
    match first {
        Some(request) => server.write_all(request.as_bytes()).await?,
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
    }
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// The head of a request, and what came after it; `None` where it is none, or too long.
async fn read_head(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, rest));
        }
        if read.len() > HEAD || client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

/// What a head asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    host: String,
    port: u16,
    /// The head as the server gets it; `None` for a tunnel.
    request: Option<String>,
}

impl Wish {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        // What one end may take for the end of a line, and the other not.
        let bare = head.replace("\r\n", "").contains(['\r', '\n']);
        if bare || method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let tunnel = method == "CONNECT";
        let url = if tunnel { format!("https://{target}") } else { target.to_owned() };
        let url = Url::parse(&url).ok().filter(|u| tunnel || u.scheme() == "http")?;
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        let request = (!tunnel).then(|| {
            let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
            let mut request = format!("{method} {path} HTTP/1.1\r\n");
            for line in lines.take_while(|l| !l.is_empty()).filter(|l| is_for_the_server(l)) {
                request.push_str(line);
                request.push_str("\r\n");
            }
            request + "Connection: close\r\n\r\n"
        });
        Some(Self { host, port, request })
    }
}

/// Whether a line of the head is none of the connection's own (RFC 9110, 7.6.1).
fn is_for_the_server(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    !name.starts_with("proxy-") && !["connection", "keep-alive", "te", "upgrade"].contains(&&*name)
}

/// A connection to whom the head names, and what to send there first.
async fn reach(head: &str, allowed: &[AllowedHost]) -> Result<(TcpStream, Option<String>)> {
    let wish = Wish::parse(head).ok_or_else(|| {
        Error::invalid("only http and https are fetched here").with_code("source_not_allowed")
    })?;
    let Wish { host, port, request } = wish;
    let at = addresses(&host, port, allowed).await?;
    let at: Vec<_> = at.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    let connected = timeout(PATIENCE, TcpStream::connect(&at[..])).await;
    let failed = |why: String| {
        Error::new(ErrorKind::Unavailable, format!("{host} cannot be reached: {why}"))
    };
    let server = connected
        .map_err(|_| failed("no answer in 30 s".to_owned()))?
        .map_err(|e| failed(e.to_string()))?;
    Ok((server, request))
}

/// The head of a request, for `make fuzz`.
///
/// # Panics
///
/// Where the server would get another end of the head, or a line that is the connection's own.
#[cfg(feature = "fuzz")]
pub fn fuzz_head(bytes: &[u8]) {
    let Ok(head) = std::str::from_utf8(bytes) else { return };
    let Some(Wish { request: Some(request), .. }) = Wish::parse(head) else { return };
    assert_eq!(request.find("\r\n\r\n"), Some(request.len() - 4));
    let connection = request.lines().filter(|l| l.to_ascii_lowercase().starts_with("connection:"));
    assert_eq!(connection.count(), 1);
    assert_eq!(request.lines().next().map(|l| l.split(' ').count()), Some(3));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_tunnels_are_told_apart() {
        let head = "GET http://a.example:81/x?y#z HTTP/1.1\r\nTE: deflate\r\nHost: a.example\r\nProxy-Authorization: x\r\n\r\n";
        let wish = Wish::parse(head).unwrap();
        assert_eq!((wish.host.as_str(), wish.port), ("a.example", 81));
        let request = "GET /x?y HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        assert_eq!(wish.request.as_deref(), Some(request));
        let wish = Wish::parse("CONNECT [::1]:8443 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((wish.host.as_str(), wish.port, wish.request), ("[::1]", 8443, None));
        for none in ["", "GET / HTTP/1.1\r\n\r\n", "GET ftp://a/x HTTP/1.1\r\n\r\n", "CONNECT x y"]
        {
            assert!(Wish::parse(none).is_none_or(|w| w.request.is_none()), "{none}");
        }
        assert_eq!(Wish::parse("GET file:///etc/passwd HTTP/1.1\r\n\r\n"), None);
    }

    #[tokio::test]
    async fn what_may_not_be_reached_is_said_in_the_answer() {
        let gateway = Gateway::open(Vec::new()).await.unwrap();
        let mut client = TcpStream::connect(gateway.address).await.unwrap();
        client.write_all(b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 169.254.169.254 has the address"), "{answer}");
    }
}
