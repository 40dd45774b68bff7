//! Which hosts a source may come from.
//!
//! Who may submit chooses the URL, and the build client stands inside somebody's network: addresses that are not the
//! public Internet's are refused unless the client's configuration names them. What a name was resolved to is pinned for
//! HTTP and ssh, so that it cannot mean another address a moment later; git's own protocol has nothing to pin it with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use pybit_core::{Error, Result};
use serde::Deserialize;
use url::{Host, Url};

use super::is_proxied;
use super::trouble::Trouble;

/// How long a name may take to be resolved.
const RESOLVING: Duration = Duration::from_secs(30);

/// Hosts with addresses of a private network that sources may come from, as the configuration names them: a name
/// (`git.example.org`), an address (`192.0.2.7`, `::1`) or a network (`10.0.0.0/8`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AllowedHost {
    /// The host of this name, whatever its addresses.
    Name(String),
    /// Every host with an address of this network.
    Network(IpNet),
}

impl AllowedHost {
    pub(super) fn is_named(&self, host: &str) -> bool {
        matches!(self, Self::Name(name) if name.eq_ignore_ascii_case(host))
    }

    fn holds(&self, address: &IpAddr) -> bool {
        matches!(self, Self::Network(network) if network.contains(address))
    }
}

impl FromStr for AllowedHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) => Ok(Self::Name(name)),
            _ => Err(Error::invalid(format!(
                "{text:?} is no host name, address or network such as 10.0.0.0/8"
            ))),
        }
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// What the name of a host may mean, after its addresses were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pin {
    /// `host:port:address,…`, as curl's `--resolve` takes it.
    Http(String),
    /// Options of ssh: it connects to the address, and knows the server by its name.
    Ssh(String),
}

/// Refuses a URL whose host the configuration does not name, whatever its addresses: for clients that cannot be pinned.
pub(super) async fn check_named(url: &str, allowed: &[AllowedHost]) -> Result<()> {
    let Some(parsed) = parsed(url)? else { return Ok(()) };
    let host = host_of(&parsed)?;
    if allowed.iter().any(|a| a.is_named(host)) {
        return Ok(());
    }
    let networks = allowed.iter().any(|a| matches!(a, AllowedHost::Network(_)));
    let addresses = if networks { resolve(host, port_of(&parsed)).await? } else { Vec::new() };
    if !addresses.is_empty() && addresses.iter().all(|at| allowed.iter().any(|a| a.holds(at))) {
        return Ok(());
    }
    Err(refused(format!("the build client's configuration must name {host} in allow_hosts")))
}

/// The URL; nothing for a file of this machine.
fn parsed(url: &str) -> Result<Option<Url>> {
    let parsed =
        Url::parse(url).map_err(|e| refused(format!("the source's URL cannot be read: {e}")))?;
    Ok((parsed.scheme() != "file").then_some(parsed))
}

fn host_of(url: &Url) -> Result<&str> {
    let host = url.host_str().filter(|h| !h.is_empty());
    host.ok_or_else(|| refused("the source's URL names no host".to_owned()))
}

fn port_of(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(22)
}

/// Refuses a URL whose host has an address that is neither public nor allowed; what to pin it to, for HTTP and ssh.
pub(super) async fn check_host(url: &str, allowed: &[AllowedHost]) -> Result<Option<Pin>> {
    let Some(parsed) = parsed(url)? else { return Ok(None) };
    let (host, port) = (host_of(&parsed)?, port_of(&parsed));
    if allowed.iter().any(|a| a.is_named(host)) {
        return Ok(None);
    }
    let addresses = match resolve(host, port).await {
        // Behind a proxy names may mean nothing here: the proxy then decides who is reached.
        Err(_) if is_proxied(parsed.scheme()) => return Ok(None),
        resolved => resolved?,
    };
    check_addresses(host, &addresses, allowed)?;
    Ok(match parsed.scheme() {
        "http" | "https" if matches!(parsed.host(), Some(Host::Domain(_))) => {
            let list: Vec<_> = addresses.iter().map(bracketed).collect();
            Some(Pin::Http(format!("{host}:{port}:{}", list.join(","))))
        }
        "ssh" if host.parse::<IpAddr>().is_err() && !host.starts_with('[') => {
            addresses.first().map(|address| Pin::Ssh(ssh_options(host, port, *address)))
        }
        _ => None,
    })
}

/// Refuses a host with an address that is neither public nor allowed.
fn check_addresses(host: &str, addresses: &[IpAddr], allowed: &[AllowedHost]) -> Result<()> {
    for address in addresses {
        if !is_public(*address) && !allowed.iter().any(|a| a.holds(address)) {
            return Err(refused(format!(
                "{host} has the address {address}, which is not a public one; the build client's configuration must name it in allow_hosts"
            )));
        }
    }
    Ok(())
}

/// The addresses of a host that may be reached; refuses any other, as [`check_host`] does.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    allowed: &[AllowedHost],
) -> Result<Vec<IpAddr>> {
    let addresses = resolve(host, port).await?;
    if !allowed.iter().any(|a| a.is_named(host)) {
        check_addresses(host, &addresses, allowed)?;
    }
    Ok(addresses)
}

/// ssh writes a server with another port as `[host]:port` into its list of known hosts, and an alias as it is.
fn ssh_options(host: &str, port: u16, address: IpAddr) -> String {
    let known = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    // git gives them to a shell; of names nothing passes that means something there (`Source::check`) but the brackets.
    format!("-oHostName={address} '-oHostKeyAlias={known}'")
}

fn refused(message: String) -> Error {
    Error::invalid(message).with_code("source_not_allowed")
}

fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The addresses, each once; a literal is its own, in whatever form the system takes one.
async fn resolve(host: &str, port: u16) -> Result<Vec<IpAddr>> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let failed = |why: String| {
        Trouble::Unresolved.of(host, format_args!("the name cannot be resolved: {why}"))
    };
    let looked_up = tokio::time::timeout(RESOLVING, tokio::net::lookup_host((plain, port))).await;
    let found = looked_up
        .map_err(|_| failed("no answer in 30 s".to_owned()))?
        .map_err(|e| failed(e.to_string()))?;
    let mut addresses: Vec<_> = found.map(|a: SocketAddr| a.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(addresses) }
}

/// Whether an address belongs to the public Internet: none of the IANA special-purpose registries' networks (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let embedded = match s {
                // IPv4-mapped, NAT64, 6to4.
                [0, 0, 0, 0, 0, 0xffff, a, b]
                | [0x64, 0xff9b, 0, 0, 0, 0, a, b]
                | [0x2002, a, b, ..] => Some((a, b)),
                _ => None,
            };
            if let Some((a, b)) = embedded {
                return is_public_v4(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)));
            }
            let special = s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8)
                || s[0] == 0x3fff && s[1] < 0x1000;
            (s[0] & 0xe000) == 0x2000 && !special
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused_as(url: &str, allowed: &[AllowedHost]) -> Option<&'static str> {
        check_host(url, allowed).await.err().map(|e| e.code())
    }

    #[tokio::test]
    async fn private_addresses_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/x.git",
            "http://0/x",
            "http://0x7f.1/x",
            "http://2130706433/x",
            "http://[::ffff:127.0.0.1]/x",
            "http://[::1]/x",
            "http://169.254.169.254/latest",
            "https://10.1.2.3/x",
            "https://100.64.0.1/x",
            "https://[fd00::1]/x",
            "https://[64:ff9b::7f00:1]/x",
            "https://[2002:7f00:1::]/x",
            "https://[2001:db8::1]/x",
            "https://[3fff::1]/x",
            "https://[::127.0.0.1]/x",
            "https://[64:ff9b:1::7f00:1]/x",
            "https://localhost/x",
            "http://LOCALHOST/x",
            "git://127.1/x",
            "ssh://git@192.168.1.1/x",
            "ssh://localhost/x",
        ] {
            assert_eq!(refused_as(url, &[]).await, Some("source_not_allowed"), "{url}");
        }
    }

    #[tokio::test]
    async fn public_and_allowed_addresses_are_reached_and_names_are_pinned() {
        assert_eq!(check_host("https://8.8.8.8/x", &[]).await.unwrap(), None);
        assert_eq!(check_host("https://[2a00:1450::1]/x", &[]).await.unwrap(), None);
        let network: AllowedHost = "127.0.0.0/8".parse().unwrap();
        assert_eq!(refused_as("http://127.0.0.1/x", &[network]).await, None);
        let loopback = ["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let pin = check_host("http://localhost:8000/x", &loopback).await.unwrap().unwrap();
        let Pin::Http(pin) = pin else { panic!("{pin:?}") };
        assert!(pin.starts_with("localhost:8000:127.0.0.1"), "{pin}");
        let pin = check_host("ssh://git@localhost/x", &loopback).await.unwrap();
        let ssh = |address: &str| {
            Some(Pin::Ssh(format!("-oHostName={address} '-oHostKeyAlias=localhost'")))
        };
        assert!(pin == ssh("127.0.0.1") || pin == ssh("::1"), "{pin:?}");
        assert_eq!(check_host("ssh://8.8.8.8/x", &[]).await.unwrap(), None);
        assert_eq!(check_host("ssh://[2a00:1450::1]/x", &[]).await.unwrap(), None);
        let name: AllowedHost = "LocalHost".parse().unwrap();
        assert_eq!(check_host("https://localhost/x", &[name]).await.unwrap(), None);
    }

    #[test]
    fn a_host_that_is_none_is_refused_in_the_configuration() {
        for bad in ["", "10.0.0.0/40", "a b", "http://x"] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
    }
}
