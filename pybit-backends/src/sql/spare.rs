//! Connections that were used a moment ago, handed out again at once, the newest first.
//!
//! The driver's pool asks the engine for a sign of life each time it gets a connection back, and hands out the one that has
//! rested longest: on PostgreSQL a second way there and back for each statement, and every time to another process. What
//! has just served well needs neither. All else, and whatever did not end well, goes through the pool as ever.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use tokio::time::Instant;

use super::dialect::Dialect;

/// The most that are kept ready.
const MOST: usize = 6;
/// One that has rested for longer is given to the pool: the engine may have been started anew.
const RESTED: Duration = Duration::from_millis(250);
/// So long after the pool gave it out, the pool gets it back, and may end it when it is old.
const TERM: Duration = Duration::from_mins(1);

/// A pool and its spare connections. Clones share them.
#[derive(Debug)]
pub struct Spare<D: Dialect> {
    pool: Pool<D>,
    ready: Arc<Mutex<Ready<D>>>,
}

#[derive(Debug)]
struct Ready<D: Dialect> {
    /// Each since when it rests, the one that has just come last.
    rested: Vec<(Instant, Held<D>)>,
    /// Callers that wait for the pool, which knows nothing of these.
    waiting: usize,
}

#[derive(Debug)]
struct Held<D: Dialect> {
    connection: PoolConnection<D>,
    /// When the pool gave it out.
    since: Instant,
}

impl<D: Dialect> Clone for Spare<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), ready: Arc::clone(&self.ready) }
    }
}

/// There may be no runtime any more in which the pool could take them back.
impl<D: Dialect> Drop for Ready<D> {
    fn drop(&mut self) {
        for (_, held) in self.rested.drain(..) {
            drop(held.connection.detach());
        }
    }
}

impl<D: Dialect> Spare<D> {
    pub(super) fn of(pool: Pool<D>) -> Self {
        let ready = Ready { rested: Vec::new(), waiting: 0 };
        Self { pool, ready: Arc::new(Mutex::new(ready)) }
    }

    pub(super) fn pool(&self) -> &Pool<D> {
        &self.pool
    }

    fn ready(&self) -> MutexGuard<'_, Ready<D>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection: the one that was used last, else one of the pool's.
    pub(super) async fn take(&self) -> sqlx::Result<Taken<D>> {
        let waiting = {
            let mut ready = self.ready();
            match ready.rested.pop() {
                Some((since, held)) if since.elapsed() < RESTED => {
                    return Ok(Taken { spare: self.clone(), held: Some(held), is_open: false });
                }
                // The others have rested for longer.
                _ => ready.rested.clear(),
            }
            ready.waiting += 1;
            Waiting(self)
        };
        let connection = self.pool.acquire().await?;
        drop(waiting);
        let held = Held { connection, since: Instant::now() };
        Ok(Taken { spare: self.clone(), held: Some(held), is_open: false })
    }

    /// Closes the pool, and these with it.
    pub(super) async fn close(&self) {
        let waiting = {
            let mut ready = self.ready();
            ready.rested.clear();
            ready.waiting += 1;
            Waiting(self)
        };
        self.pool.close().await;
        drop(waiting);
    }
}

/// Somebody waits for the pool: what is given back goes there.
struct Waiting<'a, D: Dialect>(&'a Spare<D>);

impl<D: Dialect> Drop for Waiting<'_, D> {
    fn drop(&mut self) {
        self.0.ready().waiting -= 1;
    }
}

/// A connection that serves one caller. Dropped, it goes to the pool, which looks whether it is still good, and so do those
/// that rest: what ended this one may have ended them.
#[derive(Debug)]
pub(super) struct Taken<D: Dialect> {
    spare: Spare<D>,
    /// Absent once it was given away.
    held: Option<Held<D>>,
    is_open: bool,
}

impl<D: Dialect> Taken<D> {
    /// A transaction begins that the driver knows nothing of. Until it served [`well`](Self::well), the connection ends with
    /// this value, and the transaction with it.
    pub(super) fn opens(&mut self) {
        self.is_open = true;
    }

    /// It served well, and no transaction is open: the next caller gets it.
    pub(super) fn well(mut self) {
        let Some(held) = self.held.take() else { return };
        let mut ready = self.spare.ready();
        let is_wanted = ready.waiting == 0 && ready.rested.len() < MOST;
        if is_wanted && held.since.elapsed() < TERM && !self.spare.pool.is_closed() {
            ready.rested.push((Instant::now(), held));
        }
    }

    /// Gives it to a caller who gives it back to the pool.
    pub(super) fn give_away(mut self) -> PoolConnection<D> {
        self.held.take().expect("it is held until it is given away").connection
    }
}

impl<D: Dialect> Drop for Taken<D> {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if self.is_open {
            drop(held.connection.detach());
        }
        self.spare.ready().rested.clear();
    }
}

impl<D: Dialect> Deref for Taken<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.held.as_ref().expect("it is held until it is given away").connection
    }
}

impl<D: Dialect> DerefMut for Taken<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.held.as_mut().expect("it is held until it is given away").connection
    }
}
