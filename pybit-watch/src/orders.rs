//! Orders of operators: removals from a repository, lists of it, roll-overs of its key.

use std::sync::Arc;

use pybit_client::Backoff;
use pybit_client::api::Api;
use pybit_core::model::{OrderKind, PackageName, PackageOrder, RepositoryName, SigningKey};
use pybit_core::protocol::{OrderFailed, OrderPackages};
use pybit_core::publish::{KeyRoll, Listed, Publisher, Removal};
use pybit_core::{Error, ErrorKind, Result, trial};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::names::Teller;
use crate::uploads::{report_published, set_id};

/// The longest time that the server may hold a request for orders, in milliseconds.
const WAIT_MS: u32 = 25_000;
/// The most packages that an order lists.
const MAX_LISTED: usize = 20_000;

/// Carries out the orders to one repository.
#[derive(Debug)]
pub(crate) struct Orders {
    api: Api,
    publisher: Arc<dyn Publisher>,
    repository: RepositoryName,
    /// Held from a publication to its report, and from a removal to its report: a job whose packages are taken out is
    /// on record as published before.
    turn: Arc<Mutex<()>>,
    teller: Arc<Teller>,
    /// Wakes the look at the repository's key and index.
    tend: Arc<Notify>,
}

impl Orders {
    pub(crate) fn new(
        api: Api,
        publisher: Arc<dyn Publisher>,
        repository: RepositoryName,
        turn: Arc<Mutex<()>>,
        teller: Arc<Teller>,
        tend: Arc<Notify>,
    ) -> Self {
        Self { api, publisher, repository, turn, teller, tend }
    }

    /// Works until `stop`; an order under way is finished first.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::server();
        while !stop.is_cancelled() {
            let asked = tokio::select! {
                orders = self.api.open_orders(&self.repository, WAIT_MS) => orders,
                () = stop.cancelled() => return,
            };
            let failed = match asked {
                Ok(orders) => self.carry_out_all(orders, &stop).await,
                Err(error) => {
                    let error = Error::from(error);
                    tracing::warn!(repository = %self.repository, error = %error, "the farm gives no orders; trying again");
                    true
                }
            };
            if !failed {
                backoff.reset();
                continue;
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Whether one of the orders has to be tried again.
    async fn carry_out_all(&self, orders: Vec<PackageOrder>, stop: &CancellationToken) -> bool {
        let mut failed = false;
        for order in orders {
            if stop.is_cancelled() {
                break;
            }
            match self.carry_out(&order).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::info!(order = %order.id, error = %error, "another watcher was faster");
                }
                Err(error) => {
                    tracing::warn!(order = %order.id, error = %error, "the order is not carried out; trying again");
                    failed = true;
                }
            }
        }
        failed
    }

    async fn carry_out(&self, order: &PackageOrder) -> Result<()> {
        let _turn = self.turn.lock().await;
        let packages = |packages| OrderPackages { packages, keys: Vec::new() };
        let keys = |keys| OrderPackages { packages: Vec::new(), keys };
        let done = match order.kind {
            OrderKind::List => self.list(order).await.map(packages),
            OrderKind::Remove => self.remove(order).await.map(packages),
            OrderKind::Keys => self.publisher.keys().await.map(keys),
            OrderKind::Roll => self.roll(order).await.map(keys),
        };
        let answer = match done {
            Err(error) if is_refused(&error) => {
                let failed = OrderFailed { message: error.message().to_owned() };
                self.api.order_failed(&self.repository, order.id, &failed).await?;
                return Ok(());
            }
            done => done?,
        };
        trial::crash_point("publish_order_removed_before_report");
        self.api.order_done(&self.repository, order.id, &answer).await?;
        Ok(())
    }

    /// The packages that an order names, as readers see them.
    async fn list(&self, order: &PackageOrder) -> Result<Vec<Listed>> {
        let mut all = self.publisher.list().await?;
        if let Some(source) = &order.package {
            all.retain(|listed| listed.source == source.as_str());
        }
        if all.len() > MAX_LISTED {
            let message = format!(
                "the repository has {} packages, and a list holds at most {MAX_LISTED}: name a source package",
                all.len()
            );
            return Err(Error::invalid(message).with_code("list_too_long"));
        }
        Ok(all)
    }

    /// Begins a roll-over of the key; the farm is told the new public key by the next look at the repository, which comes at once.
    async fn roll(&self, order: &PackageOrder) -> Result<Vec<SigningKey>> {
        let id = format!("order {} of {}", order.id, order.requested_at.as_micros());
        let keys = self.publisher.roll_key(&KeyRoll { id, dry_run: order.dry_run }).await?;
        if !order.dry_run {
            tracing::info!(
                order = %order.id, repository = %self.repository, by = %order.principal, reason = %order.reason,
                "the roll-over of the key has begun"
            );
            self.tend.notify_one();
        }
        Ok(keys)
    }

    /// Reports the results of a source package that the repository has held and the farm does not know of: a watcher died between a
    /// publication and its report, or the farm was away. A removal before the report would leave them to be published again.
    async fn report_unreported(&self, package: &PackageName) -> Result<()> {
        let mut after = None;
        loop {
            let sets = self.api.uploaded(&self.repository, after, 0).await?;
            let Some(last) = sets.last() else { return Ok(()) };
            after = Some(last.job.id);
            for job in sets.iter().map(|set| &set.job).filter(|job| job.package == *package) {
                let Some(snapshot) = self.publisher.published(&set_id(job)).await? else {
                    continue;
                };
                match report_published(&self.api, &self.repository, job, &snapshot).await {
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        tracing::info!(job = %job.id, error = %error, "another watcher was faster");
                    }
                    reported => reported?,
                }
            }
        }
    }

    /// Takes the packages out. The list of them is on record before the first one is gone: a watcher that is killed
    /// between the removal and its report finds nothing when it tries again.
    async fn remove(&self, order: &PackageOrder) -> Result<Vec<Listed>> {
        let Some(package) = order.package.clone() else {
            return Err(Error::invalid("the order names no source package to take out"));
        };
        let mut wanted = Removal { package, version: order.version.clone(), dry_run: true };
        let packages = self.publisher.remove(&wanted).await?;
        if order.dry_run {
            return Ok(packages);
        }
        self.report_unreported(&wanted.package).await?;
        let about_to = OrderPackages { packages, keys: Vec::new() };
        self.api.order_started(&self.repository, order.id, &about_to).await?;
        trial::crash_point("publish_order_started_before_removal");
        wanted.dry_run = false;
        let removed = self.publisher.remove(&wanted).await?;
        tracing::info!(
            order = %order.id, package = %wanted.package, removed = removed.len(), by = %order.principal,
            reason = %order.reason, "taken out of the repository"
        );
        if let Err(error) = self.teller.tell().await {
            tracing::warn!(repository = %self.repository, error = %error, "the farm does not know yet that the packages are gone; the next publication tells it");
        }
        Ok(removed)
    }
}

/// Whether another try would end in the same way.
fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported)
        && !error.is_retryable()
}
