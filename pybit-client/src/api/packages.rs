//! The routes of `pybit package`: orders to watchers, and history.

use std::time::Duration;

use pybit_core::model::{OrderId, PackageName, PackageOrder, RepositoryName};
use pybit_core::protocol::{HistoryEntry, NewPackageOrder};
use reqwest::Method;

use super::people::{given, keyed, text};
use super::{ANSWER, Api, ApiResult};

impl Api {
    /// Orders a removal, a list or a roll-over of the key from the watcher of a repository. With a key, asking again is harmless.
    pub async fn order_packages(
        &self,
        repository: &RepositoryName,
        order: &NewPackageOrder,
        key: Option<&str>,
    ) -> ApiResult<PackageOrder> {
        let request = self.request(Method::POST, &["repositories", repository.as_str(), "orders"]);
        self.json(keyed(request.json(order), key)).await
    }

    /// An order; the server may hold the answer for `wait_ms` until it has ended.
    pub async fn package_order(
        &self,
        repository: &RepositoryName,
        id: OrderId,
        wait_ms: u32,
    ) -> ApiResult<PackageOrder> {
        let path = ["repositories", repository.as_str(), "orders", &id.to_string()];
        let request = self
            .request(Method::GET, &path)
            .timeout(ANSWER + Duration::from_millis(wait_ms.into()));
        self.json(request.query(&[("wait_ms", wait_ms)])).await
    }

    /// Publications and removals of a source package, oldest first: the newest `limit` of them.
    pub async fn package_history(
        &self,
        package: &PackageName,
        repository: Option<&RepositoryName>,
        limit: u32,
    ) -> ApiResult<Vec<HistoryEntry>> {
        let query = [("repository", repository.map(text)), ("limit", Some(limit.to_string()))];
        let path = ["packages", package.as_str(), "history"];
        self.json(self.request(Method::GET, &path).query(&given(query))).await
    }
}
