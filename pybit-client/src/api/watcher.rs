//! The routes of the watcher.

use std::time::Duration;

use pybit_core::model::{Job, JobId, OrderId, PackageOrder, RepositoryName};
use pybit_core::owners::NameFacts;
use pybit_core::protocol::{
    NamesRequest, OrderFailed, OrderPackages, PublishedRequest, RejectedRequest, RepositoryKey,
    RepositoryPackages, UploadedSet,
};
use reqwest::Method;

use super::people::{given, text};
use super::{ANSWER, Api, ApiResult};

impl Api {
    /// Results that the repository has to publish, oldest first, some at once, from the one behind `after` on; the server
    /// may hold the answer for `wait_ms` until there is one.
    pub async fn uploaded(
        &self,
        repository: &RepositoryName,
        after: Option<JobId>,
        wait_ms: u32,
    ) -> ApiResult<Vec<UploadedSet>> {
        let request = self
            .request(Method::GET, &["repositories", repository.as_str(), "uploaded"])
            .timeout(ANSWER + Duration::from_millis(wait_ms.into()));
        let query = [("wait_ms", Some(wait_ms.to_string())), ("after", after.map(text))];
        self.json(request.query(&given(query))).await
    }

    /// Tells the farm the key and address of the repository.
    pub async fn put_repository_key(
        &self,
        repository: &RepositoryName,
        key: &RepositoryKey,
    ) -> ApiResult<()> {
        let request = self.request(Method::PUT, &["repositories", repository.as_str(), "key"]);
        self.done(request.json(key)).await
    }

    /// The packages that the repository holds, as its watcher has told.
    pub async fn repository_packages(
        &self,
        repository: &RepositoryName,
    ) -> ApiResult<RepositoryPackages> {
        let path = ["repositories", repository.as_str(), "packages"];
        self.json(self.request(Method::GET, &path)).await
    }

    /// Tells the farm the packages that the repository holds.
    pub async fn put_repository_packages(
        &self,
        repository: &RepositoryName,
        packages: &RepositoryPackages,
    ) -> ApiResult<()> {
        let path = ["repositories", repository.as_str(), "packages"];
        self.done(self.request(Method::PUT, &path).json(packages)).await
    }

    /// The owners of names in the repository's base distribution, and the moves that are allowed to a source.
    pub async fn name_facts(
        &self,
        repository: &RepositoryName,
        request: &NamesRequest,
    ) -> ApiResult<NameFacts> {
        let path = ["repositories", repository.as_str(), "names"];
        self.json(self.request(Method::POST, &path).json(request)).await
    }

    /// "The repository holds exactly these bytes."
    pub async fn published(&self, job: JobId, report: &PublishedRequest) -> ApiResult<Job> {
        let path = ["jobs", &job.to_string(), "published"];
        self.json(self.request(Method::POST, &path).json(report)).await
    }

    /// "The repository refuses it."
    pub async fn rejected(&self, job: JobId, report: &RejectedRequest) -> ApiResult<Job> {
        let path = ["jobs", &job.to_string(), "rejected"];
        self.json(self.request(Method::POST, &path).json(report)).await
    }

    /// Orders that the watcher of a repository has to carry out, oldest first; the server may hold the answer for
    /// `wait_ms` until there is one.
    pub async fn open_orders(
        &self,
        repository: &RepositoryName,
        wait_ms: u32,
    ) -> ApiResult<Vec<PackageOrder>> {
        let request = self
            .request(Method::GET, &["repositories", repository.as_str(), "orders"])
            .timeout(ANSWER + Duration::from_millis(wait_ms.into()));
        self.json(request.query(&[("wait_ms", wait_ms)])).await
    }

    /// "These are about to be taken out."
    pub async fn order_started(
        &self,
        repository: &RepositoryName,
        id: OrderId,
        packages: &OrderPackages,
    ) -> ApiResult<PackageOrder> {
        self.report_order(repository, id, "started", packages).await
    }

    /// "These were taken out", or "these are there".
    pub async fn order_done(
        &self,
        repository: &RepositoryName,
        id: OrderId,
        packages: &OrderPackages,
    ) -> ApiResult<PackageOrder> {
        self.report_order(repository, id, "done", packages).await
    }

    /// "It cannot be done."
    pub async fn order_failed(
        &self,
        repository: &RepositoryName,
        id: OrderId,
        failed: &OrderFailed,
    ) -> ApiResult<PackageOrder> {
        self.report_order(repository, id, "failed", failed).await
    }

    async fn report_order(
        &self,
        repository: &RepositoryName,
        id: OrderId,
        what: &str,
        report: &impl serde::Serialize,
    ) -> ApiResult<PackageOrder> {
        let path = ["repositories", repository.as_str(), "orders", &id.to_string(), what];
        self.json(self.request(Method::POST, &path).json(report)).await
    }
}
