//! Servers and clients for the tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pybit_backends::zeromq::ZeroTransport;
use pybit_core::Result;
use pybit_core::conformance::support::route;
use pybit_core::model::{ClientName, JobId, Route};
use pybit_core::settings::Settings;
use pybit_core::transport::{
    Capability, Command, CommandInbox, Delivery, Hint, Inbox, Recipient, Transport,
};
use serde_json::Value;

/// How long an event may take that must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) type Options = [(&'static str, Value)];

pub(crate) fn settings(url: &str, options: &Options) -> Settings {
    let mut settings = Settings::url(url);
    settings.options.insert("heartbeat_ms".to_owned(), 200.into());
    settings.options.extend(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    settings
}

/// A server on a free port.
pub(crate) fn bind(options: &Options) -> ZeroTransport {
    ZeroTransport::open(&settings("zmq+bind://127.0.0.1:0", options)).unwrap()
}

/// A client of a server.
pub(crate) fn connect(to: SocketAddr, options: &Options) -> ZeroTransport {
    ZeroTransport::open(&settings(&format!("zmq://{to}"), options)).unwrap()
}

/// Where a server listens.
pub(crate) fn address(server: &ZeroTransport) -> SocketAddr {
    server.endpoint().unwrap().strip_prefix("tcp://").unwrap().parse().unwrap()
}

pub(crate) fn hint(job: i64) -> Hint {
    Hint::new(route("amd64"), Some(JobId(job)))
}

pub(crate) async fn next(inbox: &mut dyn Inbox) -> Delivery {
    let delivery = tokio::time::timeout(DEADLINE, inbox.next()).await.expect("a hint in time");
    delivery.unwrap().expect("the transport is open")
}

/// Waits until the transport's health is, or is not, fine; what it said last.
pub(crate) async fn until_healthy(transport: &dyn Transport, fine: bool) -> String {
    let look = async {
        loop {
            let health = transport.health().await;
            if health.is_ok() == fine {
                return health.err().map_or_else(String::new, |e| e.to_string());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.expect("its health changes in time")
}

/// Waits until a route of the server holds so many hints.
pub(crate) async fn until_depth(server: &ZeroTransport, route: &Route, depth: u64) {
    let look = async {
        while server.depth(route).await.unwrap() != depth {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.expect("the depth changes in time");
}

/// Keys of a server and its clients, in a directory of their own.
pub(crate) struct Curve {
    dir: tempfile::TempDir,
    listed: Mutex<Vec<String>>,
}

impl Curve {
    pub(crate) fn new() -> Self {
        let curve = Self { dir: tempfile::tempdir().unwrap(), listed: Mutex::default() };
        std::fs::write(curve.path("clients"), "# none yet\n").unwrap();
        curve.make("server");
        curve
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> Value {
        self.path(name).to_str().unwrap().into()
    }

    /// Makes a key file; its public key.
    fn make(&self, name: &str) -> String {
        use std::io::Write;
        let pair = zmq::CurveKeyPair::new().unwrap();
        let key = |bytes: &[u8]| zmq::z85_encode(bytes).unwrap();
        let public = key(&pair.public_key);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600);
        let text = format!("public {public}\nsecret {}\n", key(&pair.secret_key));
        file.open(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
        std::fs::write(self.path(&format!("{name}.pub")), &public).unwrap();
        public
    }

    fn public(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    pub(crate) fn server_options(&self) -> Vec<(&'static str, Value)> {
        vec![("key_file", self.text("server")), ("clients_file", self.text("clients"))]
    }

    /// Options of a client with a key of its own, whether or not the server lists it.
    pub(crate) fn client_options(&self, name: &str) -> Vec<(&'static str, Value)> {
        if !self.path(name).exists() {
            self.make(name);
        }
        let server = serde_json::json!([self.public("server")]);
        vec![("key_file", self.text(name)), ("server_keys", server)]
    }

    /// Lists the key in the file of that name as the client's.
    pub(crate) fn list(&self, file: &str, client: &str) {
        let mut listed = self.listed.lock().unwrap();
        listed.push(format!("{client} {}\n", self.public(file)));
        let new = self.path("clients.new");
        std::fs::write(&new, listed.concat()).unwrap();
        std::fs::rename(new, self.path("clients")).unwrap();
    }
}

/// A server, and a client's transport for each client, as on several machines.
#[derive(Debug)]
pub(crate) struct Pair {
    server: ZeroTransport,
    clients: Mutex<BTreeMap<ClientName, Arc<ZeroTransport>>>,
    /// What a client needs, by its name, where there are keys.
    keys: BTreeMap<String, Vec<(&'static str, Value)>>,
}

impl Pair {
    pub(crate) fn new(curve: Option<&Curve>) -> Self {
        let mut keys = BTreeMap::new();
        let options = curve.map_or_else(Vec::new, Curve::server_options);
        for name in
            ["c", "c0", "c1", "c2", "late", "greedy", "other", "first", "second", "tahr", "tahr2"]
        {
            if let Some(curve) = curve {
                keys.insert(name.to_owned(), curve.client_options(name));
                curve.list(name, name);
            }
        }
        Self { server: bind(&options), clients: Mutex::default(), keys }
    }

    fn client(&self, client: &ClientName) -> Arc<ZeroTransport> {
        let mut clients = self.clients.lock().unwrap();
        let open = || {
            let options = self.keys.get(client.as_str()).cloned().unwrap_or_default();
            Arc::new(connect(address(&self.server), &options))
        };
        Arc::clone(clients.entry(client.clone()).or_insert_with(open))
    }
}

#[async_trait]
impl Transport for Pair {
    fn capability(&self) -> Capability {
        self.server.capability()
    }
    async fn serve_farm(&self, farm: &str) -> Result<()> {
        self.server.serve_farm(farm).await
    }
    async fn publish(&self, hint: &Hint) -> Result<()> {
        self.server.publish(hint).await
    }
    async fn publish_all(&self, hints: &[Hint]) -> Result<()> {
        self.server.publish_all(hints).await
    }
    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        self.client(client).consume(client, routes, credit).await
    }
    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        self.server.send_command(to, command).await
    }
    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        self.client(client).commands(client).await
    }
    async fn depth(&self, route: &Route) -> Result<u64> {
        self.server.depth(route).await
    }
    async fn health(&self) -> Result<()> {
        self.server.health().await
    }
}
