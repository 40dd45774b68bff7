//! Hints and commands from the transport: they make the client quicker, and never what makes it right.

use std::collections::BTreeSet;
use std::sync::Arc;

use pybit_core::Result;
use pybit_core::model::{Route, Target};
use pybit_core::transport::{Command, Delivery, Inbox, Transport};
use pybit_core::trial::{self, Mutation};

use crate::backoff::Backoff;
use crate::client::Client;

/// Wakes idle slots when a route of this client may have work. Listens only while a slot is idle, so that a busy client
/// keeps no hint from others. Never ends.
pub(crate) async fn follow(client: Arc<Client>, transport: Arc<dyn Transport>) {
    let routes: BTreeSet<_> = client.report.offers.iter().map(Target::route).collect();
    let routes: Vec<_> = routes.into_iter().collect();
    let mut backoff = Backoff::server();
    let mut idle = client.idle.subscribe();
    while idle.wait_for(|n| *n > 0).await.is_ok() {
        match listen(&client, transport.as_ref(), &routes).await {
            Ok(()) => backoff.reset(),
            Err(e) => {
                tracing::debug!("no hints: {e}");
                backoff.wait().await;
            }
        }
    }
}

/// Listens until no slot is idle; fails when the transport has closed.
async fn listen(client: &Client, transport: &dyn Transport, routes: &[Route]) -> Result<()> {
    let mut inbox = transport.consume(&client.report.name, routes, client.report.slots).await?;
    let mut idle = client.idle.subscribe();
    loop {
        let delivery = tokio::select! {
            biased;
            _ = idle.wait_for(|n| *n == 0) => return Ok(()),
            delivery = next(inbox.as_mut()) => delivery?,
        };
        let mut delivery = Some(delivery);
        if trial::is_broken(Mutation::AckBeforeClaim)
            && let Some(delivery) = delivery.take()
        {
            delivery.receipt.ack().await?;
        }
        let answered = tokio::select! {
            biased;
            () = client.wakes.wake() => true,
            _ = idle.wait_for(|n| *n == 0) => false,
        };
        if !answered {
            return Ok(());
        }
        if let Some(delivery) = delivery {
            delivery.receipt.ack().await?;
        }
    }
}

async fn next(inbox: &mut dyn Inbox) -> Result<Delivery> {
    inbox.next().await?.ok_or_else(closed)
}

/// Sends a heartbeat whenever the server asks for one. Never ends.
pub(crate) async fn obey(client: Arc<Client>, transport: Arc<dyn Transport>) {
    let mut backoff = Backoff::server();
    loop {
        if let Err(e) = obey_once(&client, transport.as_ref(), &mut backoff).await {
            tracing::debug!("no commands: {e}");
        }
        backoff.wait().await;
    }
}

async fn obey_once(
    client: &Client,
    transport: &dyn Transport,
    backoff: &mut Backoff,
) -> Result<()> {
    let mut commands = transport.commands(&client.report.name).await?;
    // What was said while nobody listened is said again by the next heartbeat.
    client.beat_now.notify_one();
    while let Some(command) = commands.next().await? {
        backoff.reset();
        match command {
            Command::Beat => client.beat_now.notify_one(),
        }
    }
    Err(closed())
}

fn closed() -> pybit_core::Error {
    pybit_core::Error::new(pybit_core::ErrorKind::Unavailable, "the transport has closed")
}
