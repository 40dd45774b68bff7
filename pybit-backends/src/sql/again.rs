//! A method whose transaction the engine took back runs again.

use std::error::Error as _;
use std::time::Duration;

use pybit_core::{Error, ErrorKind, Result};

use super::SqlStore;
use super::dialect::Dialect;

/// The longest pauses before the second try, the third and so on, in milliseconds. The real ones are random, so that two
/// who were in each other's way do not meet again.
const PAUSES: [u64; 6] = [4, 16, 60, 250, 500, 1000];

/// The code of a refusal that means: somebody did the same at the same time, look again.
pub(super) const LOOK_AGAIN: &str = "look_again";

impl<D: Dialect> SqlStore<D> {
    /// Runs a method, and again, a few times, where its transaction was taken back without its own fault. A transaction
    /// that may have been committed is never run again.
    pub(super) async fn again<R, F>(&self, method: impl Fn() -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        for longest in PAUSES {
            match self.in_time(method()).await {
                Err(error) if was_taken_back::<D>(&error) => {
                    tracing::debug!(?error, "a transaction was taken back and runs again");
                    let pause = rand::random_range(0..=longest * 1000);
                    tokio::time::sleep(Duration::from_micros(pause)).await;
                }
                ended => return ended,
            }
        }
        self.in_time(method()).await
    }

    /// A service may stop to answer without a word; then its callers must not stop too.
    pub(super) async fn in_time<R>(&self, method: impl Future<Output = Result<R>>) -> Result<R> {
        let Some(patience) = self.patience else { return method.await };
        let late = |_| {
            let message = format!(
                "the {} database does not answer within {} s",
                D::NAME,
                patience.as_secs_f32()
            );
            // It may have been about to commit.
            Err(Error::new(ErrorKind::Unavailable, message).with_op(super::COMMIT))
        };
        tokio::time::timeout(patience, method).await.unwrap_or_else(late)
    }
}

fn was_taken_back<D: Dialect>(error: &Error) -> bool {
    if error.code() == LOOK_AGAIN {
        return true;
    }
    let cause = error.source().and_then(|e| e.downcast_ref::<sqlx::Error>());
    error.op() != super::COMMIT && cause.is_some_and(D::is_passing)
}
