//! Where the broker is, and how it is used.

use std::path::PathBuf;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use pybit_core::settings::Settings;
use pybit_core::{Error, Result};
use serde::Deserialize;
use url::Url;

use super::names::Names;

/// The keys beside the URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RabbitOptions {
    /// What the farm's exchange is called, and what its other names begin with; `pybit` where left out. Two farms on one
    /// virtual host need two names.
    pub name: String,
    /// The kind of queue that is made for a route; `classic` where left out. A queue that is there is used as it is.
    pub queues: QueueKind,
    /// Whether exchanges and queues are made where they are missing; `true` where left out. An account that may not make
    /// them says `false`: then somebody else has to, and a hint without a queue is refused as unroutable.
    pub declare: bool,
    /// Seconds between two signs of life; a connection that was silent for twice as long is given up. 10 where left out.
    pub heartbeat_secs: u16,
    /// A file of certificates, PEM, that may sign the broker's, besides those of the machine.
    pub ca_file: Option<PathBuf>,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self {
            name: Names::USUAL.to_owned(),
            queues: QueueKind::Classic,
            declare: true,
            heartbeat_secs: 10,
            ca_file: None,
        }
    }
}

/// The kinds of queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// Durable on one node: for a single broker. A quorum queue that is younger than a second when its only node dies can
    /// come back without a leader (seen on 3.10.8).
    Classic,
    /// Copies on several nodes: for a cluster.
    Quorum,
}

/// A broker and how to reach it. Its `Debug` shows no secret.
pub(super) struct Broker {
    pub(super) uri: AMQPUri,
    pub(super) tls: OwnedTLSConfig,
    pub(super) options: RabbitOptions,
    pub(super) names: Names,
    /// `RabbitMQ at amqp://host/vhost`, without user and password.
    pub(super) shown: String,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Broker").field(&self.shown).field(&self.options).finish()
    }
}

impl Broker {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let options: RabbitOptions = settings.options()?;
        let refuse = |why: &str| {
            let message = format!("the transport {} is refused: {why}", settings.shown());
            Error::invalid(message).with_code("invalid_configuration")
        };
        let uri = uri(settings, options.heartbeat_secs).map_err(refuse)?;
        let names = Names::new(&options.name).map_err(refuse)?;
        let mut tls = OwnedTLSConfig::default();
        if let Some(file) = &options.ca_file {
            let read = std::fs::read_to_string(file);
            let pem = read.map_err(|e| refuse(&format!("cannot read {}: {e}", file.display())))?;
            tls.cert_chain = Some(pem);
        }
        Ok(Self { uri, tls, options, names, shown: format!("RabbitMQ at {}", settings.shown()) })
    }
}

/// The URL by its parts (rabbitmq.com/uri-spec.html), with two differences: an empty path is the virtual host `/`, and
/// there is no query, since its parameters have keys of their own.
fn uri(settings: &Settings, heartbeat: u16) -> Result<AMQPUri, &'static str> {
    // The parser's own words may show the password.
    let url = Url::parse(&settings.url).map_err(
        |_| "it is no URL; write amqp://user:password@host/vhost, special characters as %40",
    )?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must not hold ? or #; options have their own keys");
    }
    let host = url.host_str().filter(|h| !h.is_empty()).ok_or("it must name a host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let scheme = if url.scheme() == "amqps" { AMQPScheme::AMQPS } else { AMQPScheme::AMQP };
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let vhost = if path.is_empty() { "/".to_owned() } else { decoded(path)? };
    let mut userinfo = AMQPUserInfo::default();
    if !url.username().is_empty() {
        userinfo.username = decoded(url.username())?;
    }
    if let Some(password) = url.password() {
        userinfo.password = decoded(password)?;
    }
    let port = url.port().unwrap_or_else(|| scheme.default_port());
    let authority = AMQPAuthority { userinfo, host, port };
    let query = AMQPQueryString { heartbeat: Some(heartbeat), ..AMQPQueryString::default() };
    Ok(AMQPUri { scheme, authority, vhost, query })
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| "its % signs do not spell UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, String, String) {
        let uri = uri(&Settings::url(url), 10).unwrap();
        let AMQPAuthority { userinfo, host, port } = uri.authority;
        (host, port, uri.vhost, userinfo.username, userinfo.password)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let of = |host: &str, port, vhost: &str, user: &str, password: &str| {
            (host.to_owned(), port, vhost.to_owned(), user.to_owned(), password.to_owned())
        };
        assert_eq!(parts("amqp://mq"), of("mq", 5672, "/", "guest", "guest"));
        assert_eq!(parts("amqps://u:p@mq/farm"), of("mq", 5671, "farm", "u", "p"));
        assert_eq!(parts("amqp://u:p%40%2F@mq:1/%2f"), of("mq", 1, "/", "u", "p@/"));
        assert_eq!(parts("amqp://[::1]:7/a%2Fb"), of("::1", 7, "a/b", "guest", "guest"));
    }

    #[test]
    fn what_is_refused_shows_no_password() {
        for url in [
            "amqp://u:hunter2@",
            "amqp:hunter2",
            "amqp://u:hunter2@h:99999",
            "amqp://u:hunter2@h/?heartbeat=3",
            "amqp://u:hunter2%ff@h",
        ] {
            let error = Broker::new(&Settings::url(url)).unwrap_err();
            assert_eq!(error.code(), "invalid_configuration", "{url}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("hunter2") || url == "amqp:hunter2", "{said}");
        }
    }

    #[test]
    fn an_unknown_key_and_an_impossible_name_are_refused() {
        let with = |key: &str, value: &str| {
            let mut settings = Settings::url("amqp://h");
            settings.options.insert(key.to_owned(), value.into());
            Broker::new(&settings).unwrap_err().to_string()
        };
        assert!(with("queue", "classic").contains("queue"));
        assert!(with("queues", "lazy").contains("lazy"));
        assert!(with("name", "a.b").contains("name"));
        assert!(with("ca_file", "/nowhere.pem").contains("/nowhere.pem"));
    }

    #[test]
    fn a_broker_is_shown_without_its_password() {
        let broker = Broker::new(&Settings::url("amqp://ann:hunter2@mq/farm")).unwrap();
        assert_eq!(broker.shown, "RabbitMQ at amqp://mq/farm");
        assert!(!format!("{broker:?}").contains("hunter2"));
    }
}
