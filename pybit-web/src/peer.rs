//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr};

use poem::Request;
use poem::http::HeaderMap;

/// The address of whoever asks. A proxy of ours says for whom it asks; nobody else is believed.
pub(crate) fn address(request: &Request, proxies: &[IpAddr]) -> IpAddr {
    let peer = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    behind(peer.to_canonical(), request.headers(), proxies)
}

/// The last address in `X-Forwarded-For` that is no proxy of ours: each of them appends whom it was asked by.
fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let ours = |address: &IpAddr| proxies.iter().any(|p| p.to_canonical() == *address);
    let said = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let said: Vec<&str> = said.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut said = said.into_iter().rev();
    let mut address = peer;
    while ours(&address) {
        let Some(before) = said.next().and_then(|text| text.parse::<IpAddr>().ok()) else { break };
        address = before.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_proxies_are_believed() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies = [ip("127.0.0.1"), ip("192.0.2.2")];
        let of = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            behind(ip(peer), &headers, &proxies).to_string()
        };
        for (peer, lines, expected) in [
            ("198.51.100.7", &["203.0.113.9"][..], "198.51.100.7"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1", "203.0.113.9, 192.0.2.2"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1, nonsense"], "127.0.0.1"),
            ("127.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(of(peer, lines), expected, "{peer} {lines:?}");
        }
    }
}
