//! Orders to the watchers of repositories: removals, lists, roll-overs of keys.

use std::time::Duration;

use poem::Response;
use pybit_core::Farm;
use pybit_core::model::{OrderId, OrderReport, RepositoryName};
use pybit_core::protocol::{NewPackageOrder, OrderFailed, OrderPackages};
use serde::Deserialize;

use super::changed;
use super::watcher::repository;
use crate::body;
use crate::call::{Call, created, ok};
use crate::error::ApiResult;

/// A held request asks again this often, for what came through another server.
const POLL: Duration = Duration::from_secs(3);

/// The longest time that the answer may be held.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    #[serde(default)]
    wait_ms: u32,
}

/// `POST /repositories/{name}/orders`
pub(crate) async fn create(mut call: Call) -> ApiResult<Response> {
    let key = call.idempotency_key()?;
    let request: NewPackageOrder = call.json().await?;
    let repository = repository(&call).await?;
    let (farm, who) = (&call.state.farm, call.who()?);
    let recorded = farm.order_packages(who, &repository, request, key.as_deref()).await?;
    if recorded.repeated { ok(&recorded.order) } else { created(&recorded.order) }
}

/// `GET /repositories/{name}/orders`: held until there is one, as long as the watcher wants.
pub(crate) async fn open(call: Call) -> ApiResult<Response> {
    let Wait { wait_ms } = call.query()?;
    let repository = repository(&call).await?;
    let farm = &call.state.farm;
    let mut moved = farm.results();
    let deadline = tokio::time::Instant::now() + Farm::longest_wait(wait_ms);
    loop {
        moved.borrow_and_update();
        let orders = farm.open_orders(&repository.name).await?;
        if !orders.is_empty() || !changed(&call.state, moved.changed(), deadline, POLL).await {
            return ok(&orders);
        }
    }
}

/// `GET /repositories/{name}/orders/{id}`: held until it has ended, as long as the caller wants.
pub(crate) async fn show(call: Call) -> ApiResult<Response> {
    let Wait { wait_ms } = call.query()?;
    let (repository, id): (RepositoryName, OrderId) = (call.name("name")?, call.id("id")?);
    let farm = &call.state.farm;
    let mut moved = farm.results();
    let deadline = tokio::time::Instant::now() + Farm::longest_wait(wait_ms);
    loop {
        moved.borrow_and_update();
        let order = farm.package_order(&repository, id).await?;
        if order.state.is_final() || !changed(&call.state, moved.changed(), deadline, POLL).await {
            return ok(&order);
        }
    }
}

/// `POST /repositories/{name}/orders/{id}/started`
pub(crate) async fn started(mut call: Call) -> ApiResult<Response> {
    let OrderPackages { packages, .. } = call.json_up_to(body::LIST).await?;
    report(&call, OrderReport::Started(packages)).await
}

/// `POST /repositories/{name}/orders/{id}/done`
pub(crate) async fn done(mut call: Call) -> ApiResult<Response> {
    let OrderPackages { packages, keys } = call.json_up_to(body::LIST).await?;
    let done = if keys.is_empty() { OrderReport::Done(packages) } else { OrderReport::Keys(keys) };
    report(&call, done).await
}

/// `POST /repositories/{name}/orders/{id}/failed`
pub(crate) async fn failed(mut call: Call) -> ApiResult<Response> {
    let OrderFailed { message } = call.json().await?;
    report(&call, OrderReport::Failed(message)).await
}

async fn report(call: &Call, report: OrderReport) -> ApiResult<Response> {
    let (repository, id): (RepositoryName, OrderId) = (call.name("name")?, call.id("id")?);
    ok(&call.state.farm.report_order(&repository, id, &report).await?)
}
