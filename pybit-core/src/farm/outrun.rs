//! What betrays a database that was restored from an older copy: build clients that hold attempts which it never gave.
//!
//! Such an attempt is refused, as one of another client is. Its number would be given again, and its holder would then speak
//! for the new one: so the job's next attempts have greater numbers (docs/decisions/0014-older-copies-and-damaged-bodies.md).

use std::sync::atomic::Ordering;

use super::Farm;
use super::machine::{Holder, fence};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Job, JobId};

/// Further than this no job's number moves at once: more attempts than a restored copy lacks.
const FURTHEST: u32 = 20;

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

    /// How often build clients have spoken for attempts that this farm's database did not give them, since this server
    /// started. Above 0 the database was restored from an older copy, or a client lies.
    pub fn outrun(&self) -> u64 {
        self.inner.outrun.load(Ordering::Relaxed)
    }

    /// Whether a refusal betrays an older copy, and what follows. An attempt that is somebody else's was given twice; one that
    /// is still to come moves the job's number, where the client builds for the job's target, or where the database does not
    /// know the client either: an older copy lacks both, and a log may come before the client's first sign of life.
    pub(super) async fn look_behind(&self, job: &Job, holder: &Holder, refusal: &Error) {
        let twice = refusal.code() == "not_your_job" && job.client.is_some();
        if twice {
            self.alarm(
                job.id,
                holder,
                "its newest attempt has this number and is another client's",
            );
        }
        if refusal.code() != "future_attempt" {
            return;
        }
        self.alarm(job.id, holder, &format!("its newest attempt is {}", job.attempt));
        match self.move_past(job, holder).await {
            Ok(Some(_)) => self.announce_unsent(),
            Ok(None) => {}
            Err(error) => tracing::warn!(job = %job.id, "its attempts do not move on: {error}"),
        }
    }

    async fn move_past(&self, job: &Job, holder: &Holder) -> Result<Option<Job>> {
        let storage = &self.inner.storage;
        let client = storage.client(&holder.client).await?;
        let may_hold = client.is_none_or(|client| client.offers.contains(&job.target));
        if !may_hold || holder.attempt.saturating_sub(job.attempt) > FURTHEST {
            return Ok(None);
        }
        let cause = format!(
            "client {} holds attempt {}, which this database never gave: it is an older copy",
            holder.client, holder.attempt
        );
        storage.outrun(job.id, holder.attempt, &cause, self.inner.clock.now()).await
    }

    /// Tells the operator.
    pub(super) fn alarm(&self, job: JobId, holder: &Holder, known: &str) {
        self.inner.outrun.fetch_add(1, Ordering::Relaxed);
        let Holder { client, attempt } = holder;
        tracing::error!(
            %job, %client, attempt,
            "a build client holds an attempt that this database did not give it ({known}): was it restored from an older copy?"
        );
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance::support::{
        Store, client, now, planned, report, submit_one, take, target,
    };
    use crate::memory::{MemoryStorage, MemoryTransport};
    use crate::protocol::{Held, Verdict};

    fn farm() -> (Farm, Store) {
        let storage: Store = Arc::new(MemoryStorage::default());
        let farm = Farm::new(Arc::clone(&storage), Arc::new(MemoryTransport::default()), []);
        (farm, storage)
    }

    async fn beat(farm: &Farm, name: &str, arch: &str, job: JobId, attempt: u32) -> Verdict {
        let report = report(name, &[target(arch)]);
        farm.heartbeat(&report, &[Held { job, attempt }]).await.expect("an answer").0[0]
    }

    #[tokio::test]
    async fn an_attempt_still_to_come_moves_a_job_that_its_client_could_build() {
        let (farm, storage) = farm();
        let job = submit_one(&storage, planned("hello", "1")).await;
        assert_eq!(beat(&farm, "far", "amd64", job.id, 21).await, Verdict::Stale);
        assert_eq!(beat(&farm, "other", "arm64", job.id, 3).await, Verdict::Stale);
        assert_eq!(now(&storage, &job).await, job, "too far; and not its client's target");
        assert_eq!(beat(&farm, "holder", "amd64", job.id, 20).await, Verdict::Stale);
        assert_eq!(now(&storage, &job).await.attempt, 21);
        assert_eq!(beat(&farm, "holder", "amd64", job.id, 20).await, Verdict::Stale);
        assert_eq!((now(&storage, &job).await.attempt, farm.outrun()), (21, 3));
        assert_eq!(take(&storage, "next", target("amd64")).await.attempt, 22);
    }

    #[tokio::test]
    async fn a_client_that_the_copy_does_not_know_moves_its_job_with_whatever_it_says_first() {
        let (farm, storage) = farm();
        let job = submit_one(&storage, planned("hello", "1")).await;
        let holder = Holder { client: client("younger"), attempt: 2 };
        let error = farm.held_job(job.id, &holder).await.unwrap_err();
        assert_eq!((error.code(), farm.outrun()), ("future_attempt", 1));
        assert_eq!(now(&storage, &job).await.attempt, 3);
        assert_eq!(take(&storage, "younger", target("amd64")).await.attempt, 4);
    }

    #[tokio::test]
    async fn a_job_that_is_not_there_and_an_attempt_given_twice_are_told() {
        let (farm, storage) = farm();
        assert_eq!(beat(&farm, "a", "amd64", JobId(77), 1).await, Verdict::Unknown);
        let holder = Holder { client: client("a"), attempt: 1 };
        let error = farm.held_job(JobId(77), &holder).await.unwrap_err();
        assert_eq!((error.code(), farm.outrun()), ("unknown_job", 2));
        submit_one(&storage, planned("hello", "1")).await;
        let job = take(&storage, "b", target("amd64")).await;
        assert_eq!(beat(&farm, "a", "amd64", job.id, 1).await, Verdict::Stale);
        assert_eq!((now(&storage, &job).await.attempt, farm.outrun()), (1, 3));
        assert_eq!(beat(&farm, "b", "amd64", job.id, 1).await, Verdict::Continue);
        assert_eq!(farm.outrun(), 3, "its own is nobody's alarm");
    }
}
