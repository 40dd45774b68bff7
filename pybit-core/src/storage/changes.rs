//! That something changed, for who waits.

use super::{Advance, Recorded};
use crate::model::JobStatus;

/// How often something came about that somebody may be waiting for. The numbers mean nothing but that they have moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// A job became `Waiting`: there may be work.
    pub work: u64,
    /// A job became `Uploaded`, or an order to a watcher moved: there may be something to publish, to do or to tell.
    pub results: u64,
}

impl Changes {
    /// Counts what a submission became; whether anything moved.
    pub fn count_recorded(&mut self, recorded: &Recorded) -> bool {
        let planted = !recorded.repeated && !recorded.jobs.is_empty();
        self.count(planted, false)
    }

    /// Counts what became of a change; whether anything moved.
    pub fn count_advance(&mut self, advance: &Advance) -> bool {
        let Advance::Done(job, followed) = advance else { return false };
        let work = job.status == JobStatus::Waiting || !followed.is_empty();
        self.count(work, job.status == JobStatus::Uploaded)
    }

    /// Counts an order that was recorded or has moved.
    pub fn count_order(&mut self) -> bool {
        self.count(false, true)
    }

    fn count(&mut self, work: bool, results: bool) -> bool {
        self.work += u64::from(work);
        self.results += u64::from(results);
        work || results
    }
}
