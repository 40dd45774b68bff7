//! Build clients.

use askama::Template;
use poem::web::Data;
use poem::{Response, handler};
use pybit_core::Result;

use super::rows::ClientRow;
use super::{VERSION, page};
use crate::app::AppState;

#[derive(Template)]
#[template(path = "clients.html")]
struct Clients {
    section: &'static str,
    version: &'static str,
    rows: Vec<ClientRow>,
}

/// `GET /clients`
#[handler]
pub(crate) async fn show(state: Data<&AppState>) -> Response {
    page(read(&state).await)
}

async fn read(state: &AppState) -> Result<Clients> {
    let now = state.farm.clock().now();
    let ttl = std::time::Duration::from_millis(state.farm.policy().lease_ttl_ms);
    let clients = state.farm.storage().clients().await?;
    let rows = clients.iter().map(|c| ClientRow::new(c, now, ttl)).collect();
    Ok(Clients { section: "clients", version: VERSION, rows })
}
