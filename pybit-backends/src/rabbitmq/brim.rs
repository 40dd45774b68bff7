//! Queues that are full. Such a queue forgets its oldest hint for each new one: as many clients are told that there is work,
//! whether another hint is sent or not. So none is, until the queue is looked at again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pybit_core::model::Route;

/// A route's queue is looked at after so many hints: few enough that one that fills is soon seen, and too many to matter.
const LOOK_AFTER: usize = 250;
/// How long a queue is taken for full. What clients take from it meanwhile, they take without being told of new work.
const FULL_FOR: Duration = Duration::from_secs(1);

/// What one connection knows of its queues.
#[derive(Debug, Default)]
pub(super) struct Brim(Mutex<HashMap<Route, Level>>);

#[derive(Debug, Default)]
struct Level {
    sent: usize,
    full_until: Option<Instant>,
}

impl Brim {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Route, Level>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the route's queue was full a moment ago.
    pub(super) fn is_full(&self, route: &Route, now: Instant) -> bool {
        self.with(|levels| {
            let until = levels.get(route).and_then(|level| level.full_until);
            until.is_some_and(|until| now < until)
        })
    }

    /// Counts hints that were sent; the routes whose queues are to be looked at.
    pub(super) fn sent<'a>(&self, routes: impl Iterator<Item = &'a Route>) -> Vec<Route> {
        self.with(|levels| {
            for route in routes {
                match levels.get_mut(route) {
                    Some(level) => level.sent += 1,
                    None => drop(levels.insert(route.clone(), Level { sent: 1, full_until: None })),
                }
            }
            let due = |(route, level): (&Route, &mut Level)| {
                // One that was full is full again, or nearly: it is looked at after the first.
                let after = if level.full_until.is_some() { 1 } else { LOOK_AFTER };
                (level.sent >= after).then(|| {
                    level.sent = 0;
                    route.clone()
                })
            };
            levels.iter_mut().filter_map(due).collect()
        })
    }

    /// What a look has shown.
    pub(super) fn seen(&self, route: &Route, full: bool, now: Instant) {
        self.with(|levels| {
            levels.entry(route.clone()).or_default().full_until = full.then(|| now + FULL_FOR);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_looked_at_seldom_and_one_that_empties_is_filled_again() {
        let (brim, now) = (Brim::default(), Instant::now());
        let route = pybit_core::conformance::support::route("amd64");
        let send = |n| brim.sent(std::iter::repeat_n(&route, n));
        assert!(send(LOOK_AFTER - 1).is_empty());
        assert_eq!(send(1), std::slice::from_ref(&route));
        brim.seen(&route, true, now);
        assert!(brim.is_full(&route, now));
        let later = now + FULL_FOR;
        assert!(!brim.is_full(&route, later));
        assert_eq!(send(1), std::slice::from_ref(&route), "the first hint after the pause tells");
        brim.seen(&route, false, later);
        assert!(!brim.is_full(&route, later) && send(1).is_empty());
    }
}
