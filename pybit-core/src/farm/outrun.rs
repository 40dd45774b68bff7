//! What betrays a database that was restored from an older copy: build clients that hold attempts which it never gave.
//!
//! Such an attempt is refused, as one of another client is. Its number would be given again, and its holder would then speak
//! for the new one: so the job's next attempts have greater numbers (`../shared/DESIGN.md` 3, the fencing token).

use std::sync::atomic::Ordering;

use super::Farm;
use super::machine::{Holder, fence};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Job, JobId};

/// Further than this no job's number moves: more attempts than a restored copy can lack, fewer than would exhaust them.
const FURTHEST: u32 = 1000;

impl Farm {
    /// The job that the holder speaks for, if its attempt is the newest and the client's own: else as [`fence`] refuses.
    pub async fn held_job(&self, id: JobId, holder: &Holder) -> Result<Job> {
        let job = match self.job(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.alarm(id, holder, "there is no such job");
                return Err(error);
            }
            job => job?,
        };
        match fence(&job, holder) {
            Ok(()) => Ok(job),
            Err(error) => {
                self.look_behind(&job, holder, &error).await;
                Err(error)
            }
        }
    }

    /// Attempts that build clients have spoken for and this farm's database never gave, since this server started. Above
    /// 0 the database was restored from an older copy, or a client lies.
    pub fn outrun(&self) -> u64 {
        self.inner.outrun.load(Ordering::Relaxed)
    }

    /// Whether a refusal betrays an older copy, and what follows.
    pub(super) async fn look_behind(&self, job: &Job, holder: &Holder, refusal: &Error) {
        if refusal.code() != "future_attempt" {
            return;
        }
        self.alarm(job.id, holder, &format!("its newest attempt is {}", job.attempt));
        if holder.attempt.saturating_sub(job.attempt) > FURTHEST {
            return;
        }
        let cause = format!(
            "client {} holds attempt {}, which this database never gave: it is an older copy",
            holder.client, holder.attempt
        );
        let now = self.inner.clock.now();
        match self.inner.storage.outrun(job.id, holder.attempt, &cause, now).await {
            Ok(Some(_)) => self.announce_unsent(),
            Ok(None) => {}
            Err(error) => tracing::warn!(job = %job.id, "its attempts do not move on: {error}"),
        }
    }

    /// Tells the operator.
    pub(super) fn alarm(&self, job: JobId, holder: &Holder, known: &str) {
        self.inner.outrun.fetch_add(1, Ordering::Relaxed);
        let Holder { client, attempt } = holder;
        tracing::error!(
            %job, %client, attempt,
            "a build client holds an attempt that this database never gave ({known}): was it restored from an older copy?"
        );
    }
}
