//! Held claims wait in lines, one for each set of offers, so that one new job wakes one of them and not all.
//!
//! Whoever is called and gets a job calls the next, as there may be more. Whoever is
//! called and gets nothing calls one other, once, because the job may be one that this client is passed over for. A claim
//! that gets nothing by this asks again after a while by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::Offer;

/// How often in a row a call is passed on without a job.
const PASSES: u32 = 1;

type Offers = Arc<[Offer]>;

/// Everybody who waits for a job at this server.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Mutex<HashMap<Offers, VecDeque<Waiter>>>>);

#[derive(Debug, Clone)]
struct Waiter(Arc<Seat>);

#[derive(Debug, Default)]
struct Seat {
    called: Notify,
    passes: Mutex<Option<u32>>,
}

impl Lines {
    fn lines(&self) -> MutexGuard<'_, HashMap<Offers, VecDeque<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the line of these offers.
    pub(super) fn join(&self, offers: &[Offer]) -> Place {
        let place = Place {
            lines: self.clone(),
            offers: offers.into(),
            seat: Arc::default(),
            passes: None,
        };
        place.line_up();
        place
    }

    /// There may be a job of any kind: calls the first of each line.
    pub(super) fn call(&self) {
        for line in self.lines().values_mut() {
            call_first(line, PASSES);
        }
    }

    fn call_next(&self, offers: &Offers, passes: u32) {
        if let Some(line) = self.lines().get_mut(offers) {
            call_first(line, passes);
        }
    }
}

fn call_first(line: &mut VecDeque<Waiter>, passes: u32) {
    if let Some(Waiter(seat)) = line.pop_front() {
        *seat.passes.lock().unwrap_or_else(PoisonError::into_inner) = Some(passes);
        seat.called.notify_one();
    }
}

/// A held claim's place in its line, until it is dropped.
#[derive(Debug)]
pub struct Place {
    lines: Lines,
    offers: Offers,
    seat: Arc<Seat>,
    /// How often the call that this claim answers may be passed on; absent where it came by itself.
    passes: Option<u32>,
}

impl Place {
    fn line_up(&self) {
        let mut lines = self.lines.lines();
        lines
            .entry(Arc::clone(&self.offers))
            .or_default()
            .push_back(Waiter(Arc::clone(&self.seat)));
    }

    /// Waits to be called, and lines up again: what comes from now on is called out again. The future may be dropped at
    /// any moment.
    pub async fn called(&mut self) {
        self.seat.called.notified().await;
        self.passes = self.seat.passes.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.line_up();
    }

    /// A job was got: there may be more.
    pub fn got_one(&mut self) {
        if self.passes.take().is_some() {
            self.lines.call_next(&self.offers, 0);
        }
    }

    /// Nothing was got: perhaps somebody else gets it.
    pub fn got_nothing(&mut self) {
        if let Some(passes) = self.passes.take().and_then(|n| n.checked_sub(1)) {
            self.lines.call_next(&self.offers, passes);
        }
    }
}

impl Drop for Place {
    /// Whoever leaves after being called, and before it has asked, passes the call on.
    fn drop(&mut self) {
        {
            let mut lines = self.lines.lines();
            if let Some(line) = lines.get_mut(&self.offers) {
                line.retain(|Waiter(seat)| !Arc::ptr_eq(seat, &self.seat));
                if line.is_empty() {
                    lines.remove(&self.offers);
                }
            }
        }
        let unheard = self.seat.passes.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(passes) = unheard.or(self.passes.take()) {
            self.lines.call_next(&self.offers, passes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Target;

    fn offer(arch: &str) -> Vec<Target> {
        let text = format!(
            r#"{{"dist":"Debian","suite":"sid","arch":"{arch}","format":"deb","env":"host"}}"#
        );
        vec![serde_json::from_str(&text).unwrap()]
    }

    fn is_called(place: &mut Place) -> bool {
        let called = std::pin::pin!(place.called());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        called.poll(&mut context).is_ready()
    }

    #[test]
    fn one_job_calls_one_of_each_line_in_turn() {
        let lines = Lines::default();
        let mut all: Vec<_> = ["amd64", "amd64", "arm64"].map(|a| lines.join(&offer(a))).into();
        lines.call();
        assert_eq!(all.iter_mut().map(is_called).collect::<Vec<_>>(), [true, false, true]);
        lines.call();
        assert_eq!(all.iter_mut().map(is_called).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn who_gets_a_job_calls_the_next_and_who_gets_none_calls_one_once() {
        let lines = Lines::default();
        let mut all: Vec<_> = (0..5).map(|_| lines.join(&offer("amd64"))).collect();
        lines.call();
        assert!(is_called(&mut all[0]));
        all[0].got_one();
        assert_eq!(
            all.iter_mut().map(is_called).collect::<Vec<_>>(),
            [false, true, false, false, false]
        );
        all[1].got_nothing();
        assert!(!is_called(&mut all[2]), "what a job called is not passed on");
        lines.call();
        assert!(is_called(&mut all[2]));
        all[2].got_nothing();
        assert!(is_called(&mut all[3]));
        all[3].got_nothing();
        assert!(!all.iter_mut().any(is_called));
    }

    #[test]
    fn a_call_to_somebody_who_leaves_is_passed_on() {
        let lines = Lines::default();
        let first = lines.join(&offer("amd64"));
        let mut second = lines.join(&offer("amd64"));
        lines.call();
        drop(first);
        assert!(is_called(&mut second));
        drop(second);
        assert!(lines.lines().is_empty());
    }
}
