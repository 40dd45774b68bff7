//! Build clients, as people see them.

use poem::Response;
use pybit_core::model::ClientName;

use crate::call::{Call, nothing, ok};
use crate::error::ApiResult;

/// `GET /clients`
pub(crate) async fn list(call: Call) -> ApiResult<Response> {
    ok(&call.state.farm.storage().clients().await?)
}

/// `POST /clients/{name}/drain`
pub(crate) async fn drain(call: Call) -> ApiResult<Response> {
    set(&call, true).await
}

/// `POST /clients/{name}/resume`
pub(crate) async fn resume(call: Call) -> ApiResult<Response> {
    set(&call, false).await
}

async fn set(call: &Call, draining: bool) -> ApiResult<Response> {
    let name: ClientName = call.name("name")?;
    call.state.farm.set_draining(&name, draining).await?;
    Ok(nothing())
}
