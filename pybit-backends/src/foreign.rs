//! Counting messages that are not pybit's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many there were, and whether the log knows.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    count: AtomicU64,
    told: AtomicBool,
}

impl Foreign {
    /// Counts one; whether it is the first, which alone is worth a line.
    pub(crate) fn is_first(&self) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
