//! What comes while a transaction is under way goes into the next one together: one commit, and one statement of each
//! kind, for many callers. Nobody waits for company: whoever comes alone begins at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pybit_core::{Error, Result};
use tokio::sync::oneshot;

/// The most that one transaction takes: its locks are held for all of them.
const MOST: usize = 64;

/// What becomes of one of many.
#[derive(Debug)]
pub(super) enum Answer<O> {
    /// It took effect, or was refused.
    Done(Result<O>),
    /// It is none of the simple ones: it goes by itself, in a transaction of its own.
    Alone,
}

/// Callers of one method. Clones share them.
#[derive(Debug)]
pub(super) struct Group<I, O>(Arc<Mutex<Waiting<I, O>>>);

#[derive(Debug)]
struct Waiting<I, O> {
    callers: VecDeque<(I, oneshot::Sender<Answer<O>>)>,
    transactions: usize,
}

impl<I, O> Clone for Group<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> Default for Group<I, O> {
    fn default() -> Self {
        let waiting = Waiting { callers: VecDeque::new(), transactions: 0 };
        Self(Arc::new(Mutex::new(waiting)))
    }
}

impl<I: Send + 'static, O: Send + 'static> Group<I, O> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<I, O>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `run` answer this and what waits beside it, in at most `at_once` transactions at a time. It answers in order,
    /// and runs to its end even when callers go away.
    pub(super) async fn join<F>(
        &self,
        input: I,
        at_once: usize,
        run: impl Fn(Vec<I>) -> F + Send + 'static,
    ) -> Answer<O>
    where
        F: Future<Output = Vec<Answer<O>>> + Send,
    {
        let (tell, told) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting();
            waiting.callers.push_back((input, tell));
            let begins = waiting.transactions < at_once;
            waiting.transactions += usize::from(begins);
            begins
        };
        if begins {
            let group = self.clone();
            tokio::spawn(async move {
                while let Some((inputs, callers)) = group.next() {
                    let answers = run(inputs).await;
                    for (caller, answer) in callers.into_iter().zip(answers) {
                        // A caller that has gone away asks again or not at all.
                        let _ = caller.send(answer);
                    }
                }
            });
        }
        let lost = || Answer::Done(Err(Error::internal("a transaction of many broke off")));
        told.await.unwrap_or_else(|_| lost())
    }

    /// The next ones whose callers still wait; `None`, and one transaction less, where there is none.
    #[expect(clippy::type_complexity, reason = "two halves of a list of pairs")]
    fn next(&self) -> Option<(Vec<I>, Vec<oneshot::Sender<Answer<O>>>)> {
        let mut waiting = self.waiting();
        let count = waiting.callers.len().min(MOST);
        let next: Vec<_> =
            waiting.callers.drain(..count).filter(|(_, caller)| !caller.is_closed()).collect();
        if next.is_empty() {
            waiting.transactions -= 1;
            return None;
        }
        Some(next.into_iter().unzip())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn what_comes_meanwhile_goes_together() {
        let group = Group::<u32, u32>::default();
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let asked = (0..10).map(|n| {
            let sizes = Arc::clone(&sizes);
            group.join(n, 1, move |inputs: Vec<u32>| {
                sizes.lock().unwrap().push(inputs.len());
                async move {
                    tokio::task::yield_now().await;
                    inputs.into_iter().map(|n| Answer::Done(Ok(n * 2))).collect()
                }
            })
        });
        for (n, answer) in (0..).zip(join_all(asked).await) {
            assert!(matches!(answer, Answer::Done(Ok(twice)) if twice == n * 2));
        }
        let sizes = sizes.lock().unwrap();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        assert!(sizes.len() < 10, "{sizes:?}");
    }

    #[tokio::test]
    async fn who_has_gone_away_is_left_out() {
        let group = Group::<u32, u32>::default();
        drop(Box::pin(group.join(1, 0, |_| async { Vec::new() })));
        let ran = |inputs: Vec<u32>| async move {
            inputs.into_iter().map(|n| Answer::Done(Ok(n))).collect()
        };
        assert!(matches!(group.join(2, 1, ran).await, Answer::Done(Ok(2))));
    }
}
