//! Changes told from server to server by `LISTEN` and `NOTIFY`.
//!
//! A notification is sent after the transaction, not in it: a commit that notifies waits for every other one that does.
//! Many changes at once are told once. What is lost on the way costs the time until the next look.

use std::sync::Arc;
use std::time::Duration;

use pybit_core::Result;
use pybit_core::storage::Changes;
use sqlx::postgres::PgListener;
use sqlx::{Pool, Postgres};
use tokio::sync::watch;

use crate::sql::call::Call;
use crate::sql::error::failed;
use crate::sql::news::News;
use crate::sql::spare::Spare;
use crate::sql::statements;

const CHANNEL: &str = "pybit_changes";
/// The shortest time between two notifications of one handle.
const PACE: Duration = Duration::from_millis(5);
/// A listener that heard nothing for this long connects anew: its connection may be dead.
const SILENCE: Duration = Duration::from_mins(1);
/// The longest pause before the listener connects again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tells other servers of this handle's changes, and this handle of theirs, until the handle is dropped or closed.
pub(super) fn exchange(connections: &Spare<Postgres>, news: &News) {
    let me = format!("{:016x}", rand::random::<u64>());
    tokio::spawn(tell(connections.clone(), news.own(), me.clone()));
    tokio::spawn(listen(connections.pool().clone(), news.own(), Arc::clone(news.seen()), me));
}

async fn tell(connections: Spare<Postgres>, mut own: watch::Receiver<Changes>, me: String) {
    let mut told = *own.borrow();
    while own.changed().await.is_ok() && !connections.pool().is_closed() {
        let now = *own.borrow_and_update();
        let what = match (now.work > told.work, now.results > told.results) {
            (true, false) => "work",
            (false, true) => "results",
            _ => "work results",
        };
        told = now;
        if let Err(error) = notify(&connections, &format!("{me} {what}")).await {
            tracing::debug!(?error, "other servers were not told of a change");
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn notify(connections: &Spare<Postgres>, payload: &str) -> Result<()> {
    let mut connection = connections.take().await.map_err(|e| failed::<Postgres>("notify", e))?;
    let call = Call::<Postgres>::new(&statements::POSTGRES_NOTIFY).text(CHANNEL).text(payload);
    call.run(&mut connection).await?;
    connection.well();
    Ok(())
}

async fn listen(
    pool: Pool<Postgres>,
    mut own: watch::Receiver<Changes>,
    seen: Arc<watch::Sender<Changes>>,
    me: String,
) {
    let mut pause = Duration::from_millis(50);
    let mut missed = false;
    while !pool.is_closed() {
        let ended = tokio::select! {
            ended = hear(&pool, &seen, &me, missed) => ended,
            () = gone(&mut own) => return,
        };
        missed = true;
        match ended {
            Ok(()) => pause = Duration::from_millis(50),
            Err(error) => {
                tracing::debug!(?error, "the changes of other servers are not heard for a while");
                let jitter = rand::random_range(0.5..1.0);
                tokio::time::sleep(pause.mul_f64(jitter)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Waits until the last clone of the handle was dropped.
async fn gone(own: &mut watch::Receiver<Changes>) {
    while own.changed().await.is_ok() {}
}

/// Listens on one connection until it is lost or silent for long. Whoever begins again may have missed anything.
async fn hear(
    pool: &Pool<Postgres>,
    seen: &watch::Sender<Changes>,
    me: &str,
    missed: bool,
) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    count(seen, missed, missed);
    while let Ok(heard) = tokio::time::timeout(SILENCE, listener.try_recv()).await {
        let Some(notification) = heard? else { return Ok(()) };
        let mut words = notification.payload().split(' ');
        if words.next() != Some(me) {
            let told: Vec<_> = words.collect();
            count(seen, told.contains(&"work"), told.contains(&"results"));
        }
    }
    Ok(())
}

fn count(seen: &watch::Sender<Changes>, work: bool, results: bool) {
    seen.send_if_modified(|changes| {
        changes.work += u64::from(work);
        changes.results += u64::from(results);
        work || results
    });
}
