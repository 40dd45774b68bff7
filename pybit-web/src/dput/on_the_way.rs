//! What is arriving just now, by token: files that are under way count as if they were here already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Files and bytes.
pub(super) type Amount = (usize, u64);

/// What is on its way to this server; another server's arrivals are seen once they are whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnTheWay(Arc<Mutex<HashMap<String, Amount>>>);

/// One file on its way, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Arriving {
    all: OnTheWay,
    room: String,
    bytes: u64,
}

impl OnTheWay {
    /// Counts a file of at most `bytes`; with what was on its way to the same room before it.
    pub(super) fn enter(&self, room: &str, bytes: u64) -> (Arriving, Amount) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let amount = rooms.entry(room.to_owned()).or_default();
        let before = *amount;
        *amount = (before.0 + 1, before.1.saturating_add(bytes));
        let counted = amount.1 - before.1;
        (Arriving { all: self.clone(), room: room.to_owned(), bytes: counted }, before)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut rooms = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(amount) = rooms.get_mut(&self.room) {
            *amount = (amount.0 - 1, amount.1 - self.bytes);
            if amount.0 == 0 {
                rooms.remove(&self.room);
            }
        }
    }
}
