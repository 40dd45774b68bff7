//! How hints travel between the roles.

use std::sync::Arc;

use pybit_core::Result;
use pybit_core::memory::MemoryTransportFactory;
use pybit_core::settings::{Registry, Settings};
use pybit_core::storage::Storage;
use pybit_core::traced::Traced;
use pybit_core::transport::Transport;

use super::Backends;
use crate::config::Config;

/// The transports that this program knows, by URL scheme.
pub fn transports() -> Registry<dyn Transport> {
    let known = Registry::new("transport").with(MemoryTransportFactory);
    #[cfg(feature = "rabbitmq")]
    let known = known.with(pybit_backends::rabbitmq::RabbitFactory);
    #[cfg(feature = "zeromq")]
    let known = known.with(pybit_backends::zeromq::ZeroFactory);
    known
}

/// Opens the server's end, for the farm that this storage holds.
pub(super) async fn server_transport(
    config: &Config,
    backends: &Backends,
    storage: &dyn Storage,
) -> Result<Arc<dyn Transport>> {
    let settings = config.transport.clone().unwrap_or_else(|| Settings::url("memory:"));
    let transport = open(backends, &settings).await?;
    let fresh = hex::encode(rand::random::<[u8; 16]>());
    transport.serve_farm(&storage.farm_id(&fresh).await?).await?;
    Ok(transport)
}

/// What a build client by itself listens to: `[client.transport]`, else `[transport]` where a client can listen to that too.
pub fn client_settings(config: &Config) -> Option<Settings> {
    let own = config.client.readable().and_then(|c| c.transport.clone());
    // The others are a server's own: its memory, and the address that it binds.
    let shared = |s: &Settings| !matches!(s.scheme(), "memory" | "zmq+bind");
    own.or_else(|| config.transport.clone().filter(shared))
}

/// Opens a client's end, where one is configured.
pub async fn client_transport(
    config: &Config,
    backends: &Backends,
) -> Result<Option<Arc<dyn Transport>>> {
    match client_settings(config) {
        Some(settings) => open(backends, &settings).await.map(Some),
        None => Ok(None),
    }
}

async fn open(backends: &Backends, settings: &Settings) -> Result<Arc<dyn Transport>> {
    let opened = backends.transports.open(settings).await?;
    Ok(Arc::new(Traced::new(pybit_core::trial::hints(opened))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_its_own_transport_else_one_that_it_can_share() {
        let of = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, text).unwrap();
            let config = Config::load(Some(file.path())).unwrap();
            client_settings(&config).map(|s| s.url)
        };
        let client = "[client]\nurl='http://h'\nwork_dir='/w'\noffers=[]\n";
        let own = format!("{client}[client.transport]\nurl='zmq://h:1'\n");
        let top = |url: &str| format!("[transport]\nurl='{url}'\n");
        assert_eq!(of(client), None);
        assert_eq!(of(&own).as_deref(), Some("zmq://h:1"));
        assert_eq!(of(&format!("{own}{}", top("amqp://h"))).as_deref(), Some("zmq://h:1"));
        assert_eq!(of(&top("amqp://h")).as_deref(), Some("amqp://h"));
        assert_eq!((of(&top("memory:")), of(&top("zmq+bind://127.0.0.1:1"))), (None, None));
    }
}
