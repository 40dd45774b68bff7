//! Orders to the watchers of repositories, and the history of a package.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Farm;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Event, Job, JobFilter, JobKind, JobStatus, OrderId, OrderKind, OrderReport, PackageName,
    PackageOrder, Page, Principal, Repository, RepositoryName, SigningKey,
};
use crate::protocol::{HistoryEntry, NewPackageOrder, PublishedPackage};
use crate::storage::{NewOrder, RecordedOrder};
use crate::trial;

/// Orders that a watcher is given at once.
const AT_ONCE: u32 = 20;
/// Jobs whose events are read beside each other.
const EVENTS_AT_ONCE: usize = 16;
/// The longest reason, in characters.
const MAX_REASON: usize = 1000;
/// Reports of one order that may meet before one of them gives up.
const MAX_TRIES: usize = 8;
/// The beginning of the cause of a job that was published.
const PUBLISHED: &str = "published in ";

impl Farm {
    /// Records an order to the watcher of a repository.
    ///
    /// - `Invalid`: a removal without package; a removal or a roll-over without reason; an order about keys that names a package; a
    ///   version that the format does not know.
    /// - `Conflict`, code `idempotency_key_reused`: the principal has asked for something else with this key.
    pub async fn order_packages(
        &self,
        who: &Principal,
        repository: &Repository,
        request: NewPackageOrder,
        idempotency_key: Option<&str>,
    ) -> Result<RecordedOrder> {
        let NewPackageOrder { kind, package, version, reason, dry_run } = request;
        let changes = matches!(kind, OrderKind::Remove | OrderKind::Roll) && !dry_run;
        let reason = checked_reason(reason, changes)?;
        if kind.is_about_keys() && (package.is_some() || version.is_some()) {
            let message = "an order about a repository's key names no package";
            return Err(Error::invalid(message).with_code("package_not_wanted"));
        }
        if kind == OrderKind::Remove && package.is_none() {
            let message = "a removal must name the source package to take out";
            return Err(Error::invalid(message).with_code("package_missing"));
        }
        let version = match version {
            Some(version) => {
                let versions = self.format(&repository.format)?.versions();
                let key = versions.key(version.as_str())?;
                Some((version, key))
            }
            None => None,
        };
        let repository = repository.clone();
        let principal = who.name.clone();
        let idempotency_key = idempotency_key.map(str::to_owned);
        let new = NewOrder {
            repository,
            kind,
            package,
            version,
            reason,
            dry_run,
            principal,
            idempotency_key,
        };
        let recorded = self.inner.storage.add_order(&new, self.inner.clock.now()).await?;
        trial::crash_point("order_after_commit_before_reply");
        Ok(recorded)
    }

    /// The orders that the watcher of a repository has to carry out, oldest first.
    pub async fn open_orders(&self, repository: &RepositoryName) -> Result<Vec<PackageOrder>> {
        self.inner.storage.open_orders(repository, AT_ONCE).await
    }

    /// An order of a repository, or `NotFound`.
    pub async fn package_order(
        &self,
        repository: &RepositoryName,
        id: OrderId,
    ) -> Result<PackageOrder> {
        let found = self.inner.storage.order(id).await?;
        found.filter(|order| order.repository == *repository).ok_or_else(|| {
            Error::not_found(format!("repository {repository} has no order {id}"))
                .with_code("unknown_order")
        })
    }

    /// Takes a watcher's report on an order; the order as it is then. The same report again is harmless.
    ///
    /// - `Invalid`, code `invalid_keys`: keys that no repository has.
    /// - `Conflict`, code `order_ended`: the order has ended with another answer.
    pub async fn report_order(
        &self,
        repository: &RepositoryName,
        id: OrderId,
        report: &OrderReport,
    ) -> Result<PackageOrder> {
        if let OrderReport::Keys(keys) = report {
            SigningKey::check(keys)?;
        }
        for _ in 0..MAX_TRIES {
            let order = self.package_order(repository, id).await?;
            let Some(after) = order.after(report.clone(), self.inner.clock.now())? else {
                return Ok(order);
            };
            if self.inner.storage.advance_order(&after).await? {
                trial::crash_point("order_reported_after_commit_before_reply");
                return Ok(after);
            }
        }
        let message = format!("order {id} is changed by too many at once; report again");
        Err(Error::new(ErrorKind::Busy, message))
    }

    /// Publications and removals of a source package, oldest first: the newest `limit` of them, at most 200, of one
    /// repository where given.
    pub async fn package_history(
        &self,
        package: &PackageName,
        repository: Option<&RepositoryName>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>> {
        let storage = &self.inner.storage;
        let limit = limit.clamp(1, 200);
        let filter = JobFilter {
            status: Some(JobStatus::Done),
            package: Some(package.clone()),
            ..JobFilter::default()
        };
        let jobs = storage.jobs(&filter, &Page::first(200)).await?;
        let binary = jobs.into_iter().filter(|job| job.kind == JobKind::Binary);
        let published: Vec<_> = stream::iter(binary.map(|job| self.publication(job)))
            .buffered(EVENTS_AT_ONCE)
            .try_collect()
            .await?;
        let wanted = |p: &PublishedPackage| repository.is_none_or(|r| p.repository == *r);
        let mut all: Vec<_> = published
            .into_iter()
            .flatten()
            .filter(wanted)
            .map(|p| HistoryEntry::Published(Box::new(p)))
            .collect();
        let removals = storage.removals(package, repository, limit).await?;
        all.extend(removals.into_iter().map(|o| HistoryEntry::Removal(Box::new(o))));
        all.sort_by_key(HistoryEntry::at);
        let excess = all.len().saturating_sub(limit as usize);
        Ok(all.split_off(excess))
    }

    /// The publication of a job that is done; `None` where it was published nowhere.
    async fn publication(&self, job: Job) -> Result<Option<PublishedPackage>> {
        let events = self.inner.storage.events(job.id).await?;
        Ok(events.into_iter().rev().find(|e| e.to == JobStatus::Done).and_then(|e| {
            let (repository, snapshot) = place(&e)?;
            let version = job.version.clone()?;
            Some(PublishedPackage {
                job: job.id,
                repository,
                snapshot,
                version,
                arch: job.target.arch.clone(),
                principal: e.actor,
                at: e.at,
                packages: job.produced.clone(),
            })
        }))
    }
}

/// The repository and its snapshot in the event of a publication.
fn place(event: &Event) -> Option<(RepositoryName, String)> {
    let (repository, snapshot) = event.cause.strip_prefix(PUBLISHED)?.split_once(' ')?;
    Some((repository.parse().ok()?, snapshot.to_owned()))
}

/// A reason of one line; `needed`, it must not be empty.
fn checked_reason(reason: Option<String>, needed: bool) -> Result<String> {
    let reason = reason.unwrap_or_default().trim().to_owned();
    if needed && reason.is_empty() {
        let message =
            "a removal and a roll-over must say why (--reason): the reason stays on record";
        return Err(Error::invalid(message).with_code("reason_missing"));
    }
    if reason.chars().count() > MAX_REASON || reason.contains(char::is_control) {
        let message = format!("the reason must be at most {MAX_REASON} printable characters");
        return Err(Error::invalid(message).with_code("invalid_reason"));
    }
    Ok(reason)
}
