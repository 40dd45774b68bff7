//! One report for all jobs in hand, and the verdicts that it brings.

use std::sync::Arc;
use std::time::Duration;

use pybit_core::protocol::{HeartbeatReply, HeartbeatRequest, Held, Verdict};
use pybit_core::storage::ClientReport;
use pybit_core::{Error, ErrorKind, Result};

use crate::api::ApiResult;
use crate::client::Client;
use crate::machine::Event;

/// The shortest time between two heartbeats that the server can ask for.
const SHORTEST: Duration = Duration::from_millis(50);

/// The first heartbeat: fails where the server refuses this client's token; a server that is away is waited for later.
pub(crate) async fn first(client: &Client) -> Result<()> {
    match beat(client).await {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.kind, ErrorKind::Unauthenticated | ErrorKind::Denied) => {
            Err(Error::from(e))
        }
        Err(e) => {
            tracing::warn!("the build client starts without its server: {e}");
            Ok(())
        }
    }
}

/// Reports as often as the server wants, and whenever it is asked to. Ends when another process has
/// taken its place.
pub(crate) async fn run(client: Arc<Client>) {
    let mut away = false;
    loop {
        let every = Duration::from_millis(client.lease.borrow().heartbeat_ms).max(SHORTEST);
        let wait = every.mul_f64(rand::random_range(0.8..=1.0));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = client.beat_now.notified() => {}
        }
        match beat(&client).await {
            Ok(()) if away => {
                away = false;
                tracing::info!("the server is back");
            }
            Ok(()) => {}
            Err(e) if e.code == ClientReport::REPLACED => return client.replaced.cancel(),
            Err(e) if away => tracing::debug!("{e}"),
            Err(e) => {
                away = true;
                tracing::warn!("no heartbeat gets through, builds go on: {e}");
            }
        }
    }
}

async fn beat(client: &Client) -> ApiResult<()> {
    let jobs = client.shop.hands.held();
    let request = HeartbeatRequest { client: client.report.clone(), jobs };
    let reply = client.shop.api.heartbeat(&request).await?;
    obey(client, &request.jobs, &reply);
    Ok(())
}

fn obey(client: &Client, asked: &[Held], reply: &HeartbeatReply) {
    for (held, verdict) in asked.iter().zip(&reply.verdicts) {
        let event = match verdict {
            Verdict::Continue => continue,
            Verdict::Cancel => Event::Cancel,
            Verdict::Stale | Verdict::Unknown => Event::Gone,
        };
        tracing::debug!(job = %held.job, attempt = held.attempt, ?verdict, "told");
        client.shop.hands.tell(held, event);
    }
    client.lease.send_replace(reply.lease);
    client.draining.send_if_modified(|draining| {
        let changed = *draining != reply.draining;
        *draining = reply.draining;
        changed
    });
}
