//! Which end this is, where the other one is, and how they know each other.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use pybit_core::settings::Settings;
use pybit_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::keys::{self, KeyPair, PublicKey};

/// The port where a URL names none.
const PORT: u16 = 5557;

/// The keys beside `zmq+bind:`, the server's end.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BindOptions {
    /// The file of the server's CURVE key pair; made where it is missing. Without it nothing is encrypted and anybody is a
    /// client, which only a loopback address allows by itself.
    pub key_file: Option<PathBuf>,
    /// The file of the clients that may connect, one `NAME PUBLIC-KEY` a line; needed with `key_file`.
    pub clients_file: Option<PathBuf>,
    /// Allows an address that is not loopback without keys: on a network that nobody else is on.
    pub plain: bool,
    /// How often the ends give a sign of life, in milliseconds; 2000 where left out. After three that are missing an end
    /// counts as gone.
    pub heartbeat_ms: Option<u32>,
}

/// The keys beside `zmq:`, a client's end.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectOptions {
    /// The file of this client's CURVE key pair; made where it is missing.
    pub key_file: Option<PathBuf>,
    /// The servers' public keys, needed with `key_file`: one for all of them, or one for each in the order of the URL.
    pub server_keys: Vec<String>,
    /// Allows an address that is not loopback without keys: on a network that nobody else is on.
    pub plain: bool,
    /// As at the server's end.
    pub heartbeat_ms: Option<u32>,
}

/// The server's end.
#[derive(Debug, Clone)]
pub(super) struct Bind {
    pub(super) endpoint: String,
    pub(super) keys: Option<(KeyPair, PathBuf)>,
    pub(super) beat: Duration,
}

/// A client's end.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    pub(super) servers: Vec<Server>,
    pub(super) keys: Option<KeyPair>,
    pub(super) beat: Duration,
}

/// One server, as a client sees it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) endpoint: String,
    pub(super) key: Option<PublicKey>,
}

impl Bind {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let options: BindOptions = settings.options()?;
        let refuse = |why: &str| refused(settings, why);
        let rest = settings.url.strip_prefix("zmq+bind://").unwrap_or_default();
        let (host, port) = address(rest).map_err(refuse)?;
        let keys = match (options.key_file, options.clients_file) {
            (None, None) if options.plain || is_loopback(&host) => None,
            (None, None) => return Err(refuse(OPEN)),
            (Some(key), Some(clients)) => {
                check_curve()?;
                keys::check_list(&clients)?;
                Some((keys::pair(&key)?, clients))
            }
            (Some(_), None) => {
                return Err(refuse(
                    "key_file needs clients_file, the list of clients that may connect",
                ));
            }
            (None, Some(_)) => {
                return Err(refuse("clients_file needs key_file, the server's key pair"));
            }
        };
        let beat = beat(options.heartbeat_ms).map_err(refuse)?;
        Ok(Self { endpoint: endpoint(&host, port), keys, beat })
    }
}

impl Connect {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let options: ConnectOptions = settings.options()?;
        let refuse = |why: &str| refused(settings, why);
        let rest = settings.url.strip_prefix("zmq://").unwrap_or_default();
        let addresses: Vec<_> =
            rest.split(',').map(address).collect::<Result<_, _>>().map_err(refuse)?;
        let public: Vec<PublicKey> =
            options.server_keys.iter().map(|k| keys::parse(k)).collect::<Result<_>>()?;
        let keys = match (options.key_file, public.len()) {
            (None, 0) if options.plain || addresses.iter().all(|(host, _)| is_loopback(host)) => {
                None
            }
            (None, 0) => return Err(refuse(OPEN)),
            (None, _) => return Err(refuse("server_keys needs key_file, this client's key pair")),
            (Some(file), n) if n == 1 || n == addresses.len() => {
                check_curve()?;
                Some(keys::pair(&file)?)
            }
            (Some(_), _) => {
                return Err(refuse(
                    "key_file needs server_keys: one for all servers, or one for each",
                ));
            }
        };
        let servers = addresses.iter().enumerate().map(|(n, (host, port))| Server {
            endpoint: endpoint(host, *port),
            key: public.get(n).or(public.first()).copied(),
        });
        let beat = beat(options.heartbeat_ms).map_err(refuse)?;
        Ok(Self { servers: servers.collect(), keys, beat })
    }
}

/// Why an address that others reach needs keys.
const OPEN: &str = "the address is not loopback, so it needs key_file (docs/configuration.md shows how), or plain = true \
                    where nobody else is on that network";

fn refused(settings: &Settings, why: &str) -> Error {
    let message = format!("the transport {} is refused: {why}", settings.shown());
    Error::invalid(message).with_code("invalid_configuration")
}

/// Whether libzmq was built with CURVE; the one that the zmq crate brings along is not.
fn check_curve() -> Result<()> {
    if zmq::has("curve") == Some(true) {
        return Ok(());
    }
    let (major, minor, patch) = zmq::version();
    let message = format!(
        "libzmq {major}.{minor}.{patch} of this program has no CURVE, so ZeroMQ cannot use keys: build pybit in its own \
         directory against the system's libzmq (apt-get install libzmq3-dev)"
    );
    Err(Error::new(ErrorKind::Unsupported, message).with_code("no_curve"))
}

fn beat(ms: Option<u32>) -> Result<Duration, &'static str> {
    match ms.unwrap_or(2000) {
        ms @ 50..=60_000 => Ok(Duration::from_millis(u64::from(ms))),
        _ => Err("heartbeat_ms must be 50 to 60000"),
    }
}

/// The host and port of `host`, `host:port`, `[::1]:port` or `*:port`.
fn address(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a [ is not closed")?;
            (host, after.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:*".contains(c);
    if host.is_empty() || !host.chars().all(is_name) {
        return Err(
            "it must name host and port, as in zmq://farm:5557 or zmq+bind://127.0.0.1:5557",
        );
    }
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| "its port is not one")?;
    Ok((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The address as libzmq writes it: port 0 is any, and names are not bound to.
fn endpoint(host: &str, port: u16) -> String {
    let host = match host {
        "localhost" => "127.0.0.1".to_owned(),
        v6 if v6.contains(':') => format!("[{v6}]"),
        other => other.to_owned(),
    };
    let port = if port == 0 { "*".to_owned() } else { port.to_string() };
    format!("tcp://{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, options: &[(&str, serde_json::Value)]) -> Settings {
        let mut settings = Settings::url(url);
        settings.options.extend(options.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        settings
    }

    #[test]
    fn urls_name_one_address_to_bind_and_several_to_connect() {
        let bind = |url: &str| Bind::new(&settings(url, &[])).map(|b| b.endpoint);
        assert_eq!(bind("zmq+bind://127.0.0.1:1").unwrap(), "tcp://127.0.0.1:1");
        assert_eq!(bind("zmq+bind://localhost:0").unwrap(), "tcp://127.0.0.1:*");
        assert_eq!(bind("zmq+bind://[::1]").unwrap(), "tcp://[::1]:5557");
        let connect = Connect::new(&settings("zmq://localhost:1,127.0.0.2,[::1]:3", &[])).unwrap();
        let endpoints: Vec<_> = connect.servers.iter().map(|s| s.endpoint.as_str()).collect();
        assert_eq!(endpoints, ["tcp://127.0.0.1:1", "tcp://127.0.0.2:5557", "tcp://[::1]:3"]);
        for url in ["zmq://", "zmq://a:b", "zmq://a,,b", "zmq://a:1/x", "zmq://u:p@h:1", "zmq:a"] {
            let error = Connect::new(&settings(url, &[("plain", true.into())])).unwrap_err();
            assert_eq!(error.code(), "invalid_configuration", "{url}");
        }
    }

    #[test]
    fn only_loopback_goes_without_keys() {
        for url in
            ["zmq+bind://*:1", "zmq+bind://0.0.0.0:1", "zmq+bind://10.0.0.1:1", "zmq+bind://[::]:1"]
        {
            let refused = Bind::new(&settings(url, &[])).unwrap_err();
            assert!(refused.message().contains("key_file"), "{refused}");
            Bind::new(&settings(url, &[("plain", true.into())])).unwrap();
        }
        assert!(Connect::new(&settings("zmq://127.0.0.1:1,farm:1", &[])).is_err());
    }

    #[test]
    fn keys_come_with_the_list_of_whom_they_serve() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("clients"), "").unwrap();
        let url = "zmq+bind://0.0.0.0:1";
        let bind = |options: &[(&str, serde_json::Value)]| Bind::new(&settings(url, options));
        let key = ("key_file", path("server.key").into());
        assert!(bind(std::slice::from_ref(&key)).unwrap_err().message().contains("clients_file"));
        assert!(bind(&[key.clone(), ("clients_file", path("none").into())]).is_err());
        let server =
            bind(&[key, ("clients_file", path("clients").into())]).unwrap().keys.unwrap().0;
        let connect = |url: &str, keys: &[String]| {
            let keys = serde_json::json!(keys);
            let options = [("key_file", path("tahr.key").into()), ("server_keys", keys)];
            Connect::new(&settings(url, &options)).map(|c| c.servers)
        };
        let one = keys::shown(&server.public);
        let servers = connect("zmq://a,b", std::slice::from_ref(&one)).unwrap();
        assert!(servers.iter().all(|s| s.key == Some(server.public)));
        assert!(connect("zmq://a,b,c", &[one.clone(), one.clone()]).is_err());
        assert!(connect("zmq://a", &[]).is_err());
        assert!(connect("zmq://a", &["x".to_owned()]).is_err());
        assert!(
            Bind::new(&settings(
                "zmq+bind://127.0.0.1:1",
                &[("server_keys", serde_json::json!([]))]
            ))
            .is_err()
        );
    }
}
