//! One connection to a source's server before any tool is started: whether its name resolves and its port answers is then known at
//! first hand, and not from the words of a tool.

use std::net::SocketAddr;
use std::time::Duration;

use pybit_core::Result;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::is_proxied;
use super::reach::{AllowedHost, addresses};
use super::trouble::Trouble;

/// The time that a server has to accept a connection.
const CONNECTING: Duration = Duration::from_secs(30);

/// Connects to the host of `url`, and hangs up.
///
/// - Not where a proxy stands between, nor for a file of this machine: nobody is asked.
/// - ssh may know a host by its own configuration; a name that does not resolve and that `allowed` names is left to it.
pub(super) async fn probe(url: &str, allowed: &[AllowedHost]) -> Result<()> {
    let Ok(parsed) = Url::parse(url) else { return Ok(()) };
    let scheme = parsed.scheme();
    let Some(host) = parsed.host_str().filter(|h| !h.is_empty()) else { return Ok(()) };
    let Some(port) = port_of(&parsed).filter(|_| !is_proxied(scheme)) else { return Ok(()) };
    let at = match addresses(host, port, allowed).await {
        Err(e) if scheme.contains("ssh") && e.code() == "source_unresolved" => {
            return if allowed.iter().any(|a| a.is_named(host)) { Ok(()) } else { Err(e) };
        }
        at => at?,
    };
    if scheme.contains("ssh") && allowed.iter().any(|a| a.is_named(host)) {
        return Ok(());
    }
    let at: Vec<_> = at.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    match timeout(CONNECTING, TcpStream::connect(&at[..])).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(of_connection(&e, &format!("{host}:{port}"))),
        Err(_) => Err(Trouble::TimedOut.of(&format!("{host}:{port}"), "no answer in 30 s")),
    }
}

fn of_connection(e: &std::io::Error, place: &str) -> pybit_core::Error {
    let trouble = match e.kind() {
        std::io::ErrorKind::TimedOut => Trouble::TimedOut,
        _ => Trouble::Unreachable,
    };
    trouble.of(place, format_args!("cannot be connected to: {e}"))
}

/// The port of a scheme that the fetchers know; `None` for others.
fn port_of(url: &Url) -> Option<u16> {
    url.port_or_known_default().or(match url.scheme() {
        "git" => Some(9418),
        "svn" => Some(3690),
        "ssh" | "svn+ssh" => Some(22),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_without_address_and_a_closed_port_are_told_apart() {
        let loopback: AllowedHost = "127.0.0.0/8".parse().unwrap();
        let code = async |url: &str| {
            let probed = probe(url, std::slice::from_ref(&loopback)).await;
            probed.err().map(|e| e.code())
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap().port();
        assert_eq!(code(&format!("git://127.0.0.1:{open}/x")).await, None);
        drop(listener);
        assert_eq!(code(&format!("git://127.0.0.1:{open}/x")).await, Some("source_unreachable"));
        assert_eq!(code("svn://no-such-host.invalid/x").await, Some("source_unresolved"));
        assert_eq!(code("file:///x").await, None);
    }
}
