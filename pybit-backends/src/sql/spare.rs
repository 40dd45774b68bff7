//! Connections that were used a moment ago, handed out again at once, the newest first.
//!
//! The driver's pool asks the engine for a sign of life each time it gets a connection back, and hands out the one that has
//! rested longest: on PostgreSQL a second way there and back for each statement, and every time to another process. What
//! has just served well needs neither. All else, and whatever did not end well, goes through the pool as ever.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Pool};
use tokio::time::{Instant, timeout};

use super::dialect::Dialect;

/// The most that are kept ready; at least half of the pool's are its own, as not everybody asks here first.
const MOST: u32 = 6;
/// One that has rested for longer is asked first: the engine may have been started anew.
const RESTED: Duration = Duration::from_millis(250);
/// One that was asked whether it is good answers within this.
const PATIENCE: Duration = Duration::from_secs(1);
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
    most: usize,
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
        let most = MOST.min(pool.options().get_max_connections() / 2) as usize;
        let ready = Ready { rested: Vec::new(), waiting: 0, most };
        Self { pool, ready: Arc::new(Mutex::new(ready)) }
    }

    pub(super) fn pool(&self) -> &Pool<D> {
        &self.pool
    }

    fn ready(&self) -> MutexGuard<'_, Ready<D>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection: the one that was used last, else one of the pool's.
    ///
    /// One that has rested for long serves if it answers. Given back to the pool, which takes a while, it would be missed: the
    /// pool would open another one in its place, and fail where the engine takes no more.
    pub(super) async fn take(&self) -> sqlx::Result<Taken<D>> {
        loop {
            let rested = self.ready().rested.pop();
            let Some((since, held)) = rested else { break };
            let mut taken = self.taken(held);
            if since.elapsed() < RESTED {
                return Ok(taken);
            }
            // The others have rested for longer.
            self.clear();
            if matches!(timeout(PATIENCE, taken.ping()).await, Ok(Ok(()))) {
                return Ok(taken);
            }
            taken.is_lost = true;
        }
        let waiting = self.wait();
        let connection = self.pool.acquire().await?;
        drop(waiting);
        Ok(self.taken(Held { connection, since: Instant::now() }))
    }

    fn taken(&self, held: Held<D>) -> Taken<D> {
        Taken { spare: self.clone(), held: Some(held), is_lost: false }
    }

    /// Gives all that rest to the pool, which looks whether they are still good.
    pub(super) fn clear(&self) {
        self.ready().rested.clear();
    }

    /// While this is held, the pool gets what is given back: for those who ask the pool itself.
    pub(super) fn wait(&self) -> Waiting<'_, D> {
        self.ready().waiting += 1;
        Waiting(self)
    }

    /// Closes the pool, and these with it.
    pub(super) async fn close(&self) {
        let waiting = self.wait();
        self.clear();
        self.pool.close().await;
        drop(waiting);
    }
}

/// Somebody waits for the pool: what is given back goes there.
pub(super) struct Waiting<'a, D: Dialect>(&'a Spare<D>);

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
    /// Whether it ends with this value, and is not the pool's again.
    is_lost: bool,
}

impl<D: Dialect> Taken<D> {
    /// A transaction begins that the driver knows nothing of. Until it served [`well`](Self::well), the connection ends with
    /// this value, and the transaction with it.
    pub(super) fn opens(&mut self) {
        self.is_lost = true;
    }

    /// It served well, and no transaction is open: the next caller gets it.
    pub(super) fn well(mut self) {
        let Some(held) = self.held.take() else { return };
        let mut ready = self.spare.ready();
        let is_wanted = ready.waiting == 0 && ready.rested.len() < ready.most;
        if is_wanted && held.since.elapsed() < TERM && !self.spare.pool.is_closed() {
            ready.rested.push((Instant::now(), held));
        }
    }

    /// Gives it to a caller who gives it back to the pool.
    #[cfg(feature = "postgres")]
    pub(super) fn give_away(mut self) -> PoolConnection<D> {
        self.held.take().expect("it is held until it is given away").connection
    }
}

impl<D: Dialect> Drop for Taken<D> {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if self.is_lost {
            drop(held.connection.detach());
        }
        self.spare.clear();
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

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
    use sqlx::{Sqlite, raw_sql};

    use super::*;

    /// Connections to one new file, at most so many.
    fn spare(most: u32) -> (tempfile::TempDir, Spare<Sqlite>) {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(dir.path().join("a.db"))
            .create_if_missing(true)
            .busy_timeout(Duration::ZERO);
        let pool = SqlitePoolOptions::new().max_connections(most).connect_lazy_with(options);
        (dir, Spare::of(pool))
    }

    async fn taken(spare: &Spare<Sqlite>) -> Taken<Sqlite> {
        let taken = tokio::time::timeout(Duration::from_secs(10), spare.take());
        taken.await.expect("one is free").unwrap()
    }

    /// Which connection it is: nobody else sees its temporary table.
    async fn is_marked(connection: &mut Taken<Sqlite>) -> bool {
        raw_sql("SELECT * FROM mark").execute(&mut **connection).await.is_ok()
    }

    async fn marked(spare: &Spare<Sqlite>) -> Taken<Sqlite> {
        let mut one = taken(spare).await;
        raw_sql("CREATE TEMP TABLE mark (x)").execute(&mut *one).await.unwrap();
        one
    }

    #[tokio::test]
    async fn what_served_well_last_serves_next() {
        let (_dir, spare) = spare(4);
        let (first, last) = (taken(&spare).await, marked(&spare).await);
        first.well();
        last.well();
        assert_eq!(spare.ready().rested.len(), 2);
        let mut next = taken(&spare).await;
        assert!(is_marked(&mut next).await);
        assert!(!is_marked(&mut taken(&spare).await).await);
    }

    #[tokio::test]
    async fn where_one_failed_the_others_go_to_the_pool() {
        let (_dir, spare) = spare(4);
        let (failed, rested) = (taken(&spare).await, taken(&spare).await);
        rested.well();
        drop(failed);
        assert!(spare.ready().rested.is_empty());
    }

    #[tokio::test]
    async fn what_rested_for_long_serves_again_and_no_other_is_opened() {
        let (_dir, spare) = spare(4);
        let (first, last) = (taken(&spare).await, marked(&spare).await);
        first.well();
        last.well();
        for (since, _) in &mut spare.ready().rested {
            *since = since.checked_sub(RESTED).unwrap();
        }
        let mut next = taken(&spare).await;
        assert!(is_marked(&mut next).await);
        assert!(spare.ready().rested.is_empty(), "the other one is the pool's again");
        assert_eq!(spare.pool().size(), 2);
    }

    #[tokio::test]
    async fn who_asks_the_pool_itself_is_served_first() {
        let (_dir, spare) = spare(2);
        let (one, _other) = (taken(&spare).await, taken(&spare).await);
        let waits = spare.wait();
        one.well();
        assert!(spare.ready().rested.is_empty());
        drop(waits);
        taken(&spare).await.well();
        assert_eq!(spare.ready().rested.len(), 1);
    }

    #[tokio::test]
    async fn a_transaction_ends_with_its_connection() {
        let (_dir, spare) = spare(2);
        let (mut broken_off, mut other) = (marked(&spare).await, taken(&spare).await);
        broken_off.opens();
        let begin = || "BEGIN IMMEDIATE".to_owned();
        Sqlite::say(&mut broken_off, begin()).await.unwrap();
        Sqlite::say(&mut other, begin()).await.unwrap_err();
        drop(broken_off);
        // It ends in a thread of its own.
        let end = Instant::now() + Duration::from_secs(10);
        while Sqlite::say(&mut other, begin()).await.is_err() {
            assert!(Instant::now() < end, "the transaction is still open");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Sqlite::say(&mut other, "COMMIT".to_owned()).await.unwrap();
        other.well();
        let (mut next, mut after) = (taken(&spare).await, taken(&spare).await);
        assert!(!is_marked(&mut next).await && !is_marked(&mut after).await);
    }

    #[tokio::test]
    async fn who_waits_for_the_pool_is_served_first() {
        let (_dir, spare) = spare(2);
        let (one, _other) = (taken(&spare).await, taken(&spare).await);
        let waits = spare.take();
        tokio::pin!(waits);
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        one.well();
        assert!(spare.ready().rested.is_empty());
        let served = tokio::time::timeout(Duration::from_secs(10), waits).await;
        served.expect("it is served").unwrap().well();
        assert_eq!(spare.ready().rested.len(), 1);
    }

    #[tokio::test]
    async fn half_of_them_are_the_pools() {
        let (_dir, spare) = spare(3);
        let all = [taken(&spare).await, taken(&spare).await, taken(&spare).await];
        all.into_iter().for_each(Taken::well);
        assert_eq!(spare.ready().rested.len(), 1);
        let own = [spare.pool().acquire(), spare.pool().acquire()];
        for own in futures_util::future::join_all(own).await {
            own.unwrap();
        }
    }

    #[tokio::test]
    async fn closing_closes_what_rests() {
        let (_dir, spare) = spare(2);
        let (rests, serves) = (taken(&spare).await, taken(&spare).await);
        rests.well();
        let closing = spare.close();
        tokio::pin!(closing);
        assert!(futures_util::poll!(closing.as_mut()).is_pending());
        serves.well();
        tokio::time::timeout(Duration::from_secs(10), closing).await.expect("it closes");
        assert!(spare.take().await.is_err());
    }

    #[test]
    fn nothing_needs_the_runtime_in_the_end() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (_dir, spare) = runtime.block_on(async {
            let (dir, spare) = spare(2);
            let mut one = taken(&spare).await;
            one.ping().await.unwrap();
            one.well();
            (dir, spare)
        });
        assert_eq!(spare.ready().rested.len(), 1);
        drop(runtime);
        drop(spare);
    }
}
