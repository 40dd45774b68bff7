//! The statuses of a job and the one table of legal transitions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::trial::{self, Mutation};

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobStatus {
    /// May be claimed by a build client.
    Waiting,
    /// Build dependencies are missing; woken when one is published.
    Blocked,
    /// A build client holds it.
    Building,
    /// Asked to stop; its client has not confirmed yet.
    Cancelling,
    /// Artifacts and log are on the server; the repository does not hold them yet.
    Uploaded,
    /// Published, or uploaded where the suite has no repository.
    Done,
    /// Ended without a result.
    Failed,
    /// Ended on request, or because a newer version came.
    Cancelled,
}

use JobStatus::{Blocked, Building, Cancelled, Cancelling, Done, Failed, Uploaded, Waiting};

impl JobStatus {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 8] =
        [Waiting, Blocked, Building, Cancelling, Uploaded, Done, Failed, Cancelled];

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Done | Failed | Cancelled)
    }

    /// Whether a build client holds the job.
    pub fn is_held(self) -> bool {
        matches!(self, Building | Cancelling)
    }

    /// The statuses that may follow this one. Terminal statuses absorb: retry makes a new job.
    pub fn next(self) -> &'static [Self] {
        match self {
            // Claimed; cancelled; or failed by an operator's rule (poison). Building from Waiting without a claim
            // is the resume of the client that last held it.
            Waiting => &[Building, Cancelled, Failed],
            // A dependency came; cancelled; or waited too long.
            Blocked => &[Waiting, Cancelled, Failed],
            // Lost or refused; dependencies missing; asked to stop; result accepted; failed.
            Building => &[Waiting, Blocked, Cancelling, Uploaded, Failed],
            Cancelling => &[Cancelled],
            // Published; or refused by the repository.
            Uploaded => &[Done, Failed],
            Done | Failed | Cancelled => &[],
        }
    }

    /// Whether `to` may follow this status.
    pub fn may_become(self, to: Self) -> bool {
        self.next().contains(&to)
            || (self == Cancelling && trial::is_broken(Mutation::FinishWhileCancelling))
    }

    /// The status as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Waiting => "Waiting",
            Blocked => "Blocked",
            Building => "Building",
            Cancelling => "Cancelling",
            Uploaded => "Uploaded",
            Done => "Done",
            Failed => "Failed",
            Cancelled => "Cancelled",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobStatus {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|x| x.as_str().eq_ignore_ascii_case(s));
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid(format!("there is no such status; the statuses are {known}"))
                .with_code("unknown_status")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_statuses_absorb() {
        for status in JobStatus::ALL {
            assert_eq!(status.is_terminal(), status.next().is_empty(), "{status}");
        }
    }

    #[test]
    fn every_status_can_be_left_for_an_end_and_reached_from_waiting() {
        let mut reached = vec![Waiting];
        let mut at = 0;
        while at < reached.len() {
            for next in reached[at].next() {
                if !reached.contains(next) {
                    reached.push(*next);
                }
            }
            at += 1;
        }
        assert_eq!(reached.len(), JobStatus::ALL.len());
    }

    #[test]
    fn a_cancelling_job_takes_no_result() {
        assert!(!Cancelling.may_become(Uploaded) && !Cancelling.may_become(Waiting));
    }
}
