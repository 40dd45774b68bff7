//! The transport of `pybit up`, with a count of what it has handed out.

use std::sync::Arc;

use async_trait::async_trait;
use pybit::backends::deb::DebFormat;
use pybit::backends::env::{BuildUser, HostEnvironment};
use pybit::backends::exec::{Exec, Supervisor};
use pybit::backends::source::{UploadConfig, UploadFetcher};
use pybit::client::{Shutdown, Toolbox};
use pybit::config::Config;
use pybit::core::clock::{Clock, SystemClock};
use pybit::core::format::PackageFormat;
use pybit::core::memory::MemoryTransport;
use pybit::core::model::{ClientName, Route};
use pybit::core::settings::Settings;
use pybit::core::transport::{
    Capability, Command, CommandInbox, Delivery, Hint, Inbox, Receipt, Recipient,
};
use pybit::web::{Blobs, WebParts};
use pybit::{Result, Transport, roles};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{DEADLINE, Farm, PYBIT, machine_arch};

/// What a transport has handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Hints that were delivered.
    pub(crate) delivered: u32,
    /// Those among them that were acknowledged.
    pub(crate) acknowledged: u32,
    /// Deliveries that are neither acknowledged nor given back.
    pub(crate) out: u32,
    /// Inboxes.
    pub(crate) listeners: u32,
}

/// The in-process transport, watched.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: MemoryTransport,
    count: Arc<watch::Sender<Count>>,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: MemoryTransport::default(), count: Arc::default() })
    }

    /// The count at this moment.
    pub(crate) fn count(&self) -> Count {
        *self.count.borrow()
    }

    /// Waits until the count is as wanted.
    pub(crate) async fn wait(&self, wanted: impl Fn(&Count) -> bool) {
        let mut count = self.count.subscribe();
        let ended = tokio::time::timeout(DEADLINE, count.wait_for(wanted)).await;
        assert!(ended.is_ok(), "waited in vain: {:?}", self.count());
    }

    /// Says that there may be work for this machine's architecture; how many such hints wait then.
    pub(crate) async fn hint(&self) -> u64 {
        let route = Route {
            dist: "Debian".parse().unwrap(),
            arch: machine_arch().parse().unwrap(),
            suite: "bookworm".parse().unwrap(),
            format: "deb".parse().unwrap(),
        };
        self.publish(&Hint::new(route.clone(), None)).await.unwrap();
        self.depth(&route).await.unwrap()
    }

    /// Serves the farm as `pybit web` does, on this transport, until the answer is dropped.
    pub(crate) async fn serve(self: &Arc<Self>, farm: &Farm) -> DropGuard {
        let config = Config::load(Some(&farm.path().join("pybit.toml"))).unwrap();
        let dir = roles::data_dir(&config).unwrap();
        let storage = roles::storages().open(&Settings::url(dir.storage_url())).await.unwrap();
        pybit::web::seed(storage.as_ref(), &config.suites, SystemClock.now()).await.unwrap();
        pybit::web::ensure_admin_token(storage.as_ref(), &dir.admin_token()).await.unwrap();
        let formats: [Arc<dyn PackageFormat>; 1] = [Arc::new(DebFormat::new())];
        let (wire, clock) = (Arc::clone(self) as _, Arc::new(SystemClock));
        let state = pybit::Farm::with_policy(storage, wire, formats, clock, config.policy);
        let parts =
            WebParts { farm: state, blobs: Blobs::folder(&dir.blobs()).unwrap(), uploads: None };
        let (ready, address) = oneshot::channel();
        let stop = CancellationToken::new();
        tokio::spawn(pybit::web::serve(config.web, parts, ready, stop.clone()));
        address.await.unwrap();
        stop.drop_guard()
    }

    /// Runs the build client `one`, which builds on the machine itself, until the answer is dropped.
    pub(crate) fn client(self: &Arc<Self>, farm: &Farm) -> DropGuard {
        let config = Config::load(Some(&farm.client_config("one", &farm.url()))).unwrap();
        let config = config.client.given().unwrap().unwrap().clone();
        let user = config.build_user.as_deref().map(|name| BuildUser::find(name).unwrap());
        let supervisor =
            Supervisor { program: PYBIT.into(), args: vec![roles::SUPERVISE.to_owned()] };
        let exec = Exec::new(supervisor, user);
        let toolbox = Toolbox {
            formats: vec![Arc::new(DebFormat::new())],
            fetchers: vec![Arc::new(UploadFetcher::new(UploadConfig::default(), exec.clone()))],
            environments: vec![Arc::new(HostEnvironment::new(exec, true))],
        };
        let stop = CancellationToken::new();
        let told = stop.clone();
        let shutdown = async move {
            told.cancelled().await;
            Shutdown::Fast
        };
        tokio::spawn(pybit::client::run(config, toolbox, Some(Arc::clone(self) as _), shutdown));
        stop.drop_guard()
    }
}

#[async_trait]
impl Transport for Watched {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn serve_farm(&self, farm: &str) -> Result<()> {
        self.inner.serve_farm(farm).await
    }

    async fn publish(&self, hint: &Hint) -> Result<()> {
        self.inner.publish(hint).await
    }

    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        let inner = self.inner.consume(client, routes, credit).await?;
        self.count.send_modify(|c| c.listeners += 1);
        Ok(Box::new(WatchedInbox { inner, count: Arc::clone(&self.count) }))
    }

    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        self.inner.send_command(to, command).await
    }

    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        self.inner.commands(client).await
    }

    async fn depth(&self, route: &Route) -> Result<u64> {
        self.inner.depth(route).await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}

#[derive(Debug)]
struct WatchedInbox {
    inner: Box<dyn Inbox>,
    count: Arc<watch::Sender<Count>>,
}

impl Drop for WatchedInbox {
    fn drop(&mut self) {
        self.count.send_modify(|c| c.listeners -= 1);
    }
}

#[async_trait]
impl Inbox for WatchedInbox {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let Some(Delivery { hint, receipt }) = self.inner.next().await? else { return Ok(None) };
        self.count.send_modify(|c| (c.delivered, c.out) = (c.delivered + 1, c.out + 1));
        let count = Arc::clone(&self.count);
        Ok(Some(Delivery {
            hint,
            receipt: Box::new(WatchedReceipt { inner: Some(receipt), count }),
        }))
    }
}

#[derive(Debug)]
struct WatchedReceipt {
    inner: Option<Box<dyn Receipt>>,
    count: Arc<watch::Sender<Count>>,
}

#[async_trait]
impl Receipt for WatchedReceipt {
    async fn ack(mut self: Box<Self>) -> Result<()> {
        if let Some(inner) = self.inner.take() {
            inner.ack().await?;
            self.count.send_modify(|c| c.acknowledged += 1);
        }
        Ok(())
    }
}

impl Drop for WatchedReceipt {
    fn drop(&mut self) {
        self.count.send_modify(|c| c.out -= 1);
    }
}
