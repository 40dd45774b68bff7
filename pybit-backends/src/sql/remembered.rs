//! What is asked with nearly every request and hardly ever changes: kept for a moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pybit_core::Result;
use tokio::time::Instant;

/// How old an answer may be: what another process changed is seen after this.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer. Clones share it.
#[derive(Debug)]
pub(super) struct Remembered<T>(Arc<Mutex<Kept<T>>>);

#[derive(Debug)]
struct Kept<T> {
    answer: Option<(Instant, T)>,
    /// Counts what made answers void, so that one that was asked for before is not kept after.
    voided: u64,
}

impl<T> Clone for Remembered<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { answer: None, voided: 0 })))
    }
}

impl<T: Clone> Remembered<T> {
    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last answer while it is fresh, else a new one.
    pub(super) async fn get<F>(&self, ask: impl FnOnce() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let voided = {
            let kept = self.kept();
            if let Some((since, answer)) = &kept.answer
                && since.elapsed() < FRESH
            {
                return Ok(answer.clone());
            }
            kept.voided
        };
        let asked = Instant::now();
        let answer = ask().await?;
        let mut kept = self.kept();
        if kept.voided == voided {
            kept.answer = Some((asked, answer.clone()));
        }
        Ok(answer)
    }

    /// Forgets the answer: it has just been changed, or may have been.
    pub(super) fn forget(&self) {
        let mut kept = self.kept();
        kept.voided += 1;
        kept.answer = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_kept_while_it_is_fresh_and_until_it_changes() {
        let remembered = Remembered::default();
        let ask = async |n: u32| remembered.get(|| async { Ok(n) }).await.unwrap();
        assert_eq!((ask(1).await, ask(2).await), (1, 1));
        remembered.forget();
        assert_eq!(ask(3).await, 3);
        let long_ago = Instant::now().checked_sub(FRESH).unwrap();
        remembered.kept().answer = Some((long_ago, 3));
        assert_eq!(ask(4).await, 4);
    }

    #[tokio::test]
    async fn an_answer_from_before_a_change_is_not_kept() {
        let remembered = Remembered::default();
        let overtaken = remembered.get(|| async {
            remembered.forget();
            Ok(1)
        });
        assert_eq!(overtaken.await.unwrap(), 1);
        assert_eq!(remembered.get(|| async { Ok(2) }).await.unwrap(), 2);
    }
}
