//! A submission comes in: the version rules, what it supersedes, its jobs.

use super::{Act, JobRow, State, SubmissionRow, next_number};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    Dist, FormatName, Job, JobId, JobKind, JobStatus, PackageName, Submission, SubmissionId, Suite,
};
use crate::storage::{PlannedJob, Recorded, SubmissionRecord};

impl State {
    pub(super) fn record(&mut self, record: &SubmissionRecord, at: Timestamp) -> Result<Recorded> {
        let key = record.idempotency_key.as_ref().map(|k| (record.principal.clone(), k.clone()));
        if let Some(first) = key.as_ref().and_then(|k| self.keys.get(k)) {
            return self.first_result(*first, record);
        }
        let id = SubmissionId(next_number(self.submissions.len()));
        self.check_plan(id, &record.jobs)?;
        let submission = Submission {
            id,
            request: record.request.clone(),
            principal: record.principal.clone(),
            names: record.names.clone(),
            created_at: at,
        };
        let act = Act { actor: &record.principal, cause: "submitted", at };
        let jobs = self.plant_all(id, &record.jobs, act)?;
        let planned = jobs.iter().map(|j| j.id).collect();
        self.submissions.insert(id, SubmissionRow { submission: submission.clone(), planned });
        if let Some(key) = key {
            self.keys.insert(key, id);
        }
        Ok(Recorded { submission, jobs, repeated: false })
    }

    fn first_result(&self, id: SubmissionId, record: &SubmissionRecord) -> Result<Recorded> {
        let row = self.submissions.get(&id).ok_or_else(|| Error::internal("a key has a result"))?;
        if row.submission.request != record.request {
            let message = format!(
                "the idempotency key belongs to submission {id}, which asked for something else; use another key"
            );
            return Err(Error::conflict(message).with_code("idempotency_key_reused"));
        }
        let jobs = row.planned.iter().map(|j| self.row(*j).map(|row| row.job.clone()));
        let jobs = jobs.collect::<Result<_>>()?;
        Ok(Recorded { submission: row.submission.clone(), jobs, repeated: true })
    }

    /// Whether the version rules accept every job of a plan; jobs of the same submission do not count.
    pub(super) fn check_plan(&self, submission: SubmissionId, plan: &[PlannedJob]) -> Result<()> {
        plan.iter().try_for_each(|planned| self.check_version(submission, planned))
    }

    fn check_version(&self, submission: SubmissionId, planned: &PlannedJob) -> Result<()> {
        let Some((version, key)) = planned.version.as_ref().filter(|_| !planned.force) else {
            return Ok(());
        };
        let target = &planned.target;
        let rivals = || {
            self.versions(&planned.package, &target.dist, &target.suite, &target.format)
                .filter(|(row, _)| row.job.submission != submission)
        };
        if let Some((row, _)) = rivals().filter(|(_, has)| *has > key).max_by_key(rank) {
            let has = row.job.version.as_ref().map_or("", |v| v.as_str());
            let message = format!(
                "{} {version} is older than {has}, which {}/{} has or gets by job {}; submit it with force to build it \
                 all the same",
                planned.package, target.dist, target.suite, row.job.id
            );
            return Err(Error::conflict(message).with_code("older_version"));
        }
        let equal = rivals().filter(|(row, has)| *has == key && row.job.target == *target);
        if let Some((row, _)) = equal.max_by_key(rank) {
            let message = format!(
                "{} {version} for {target} is job {} already, which is {}; submit it with force to build it again",
                planned.package, row.job.id, row.job.status
            );
            return Err(Error::conflict(message).with_code("same_version"));
        }
        Ok(())
    }

    /// The jobs that say which versions of a package a suite has or gets, with their sort keys.
    pub(super) fn versions<'a>(
        &'a self,
        package: &'a PackageName,
        dist: &'a Dist,
        suite: &'a Suite,
        format: &'a FormatName,
    ) -> impl Iterator<Item = (&'a JobRow, &'a Vec<u8>)> {
        use JobStatus::{Cancelled, Cancelling, Failed};
        self.jobs
            .values()
            .filter(move |row| {
                let Job { kind, target, status, .. } = &row.job;
                *kind == JobKind::Binary
                    && row.job.package == *package
                    && (&target.dist, &target.suite, &target.format) == (dist, suite, format)
                    && !matches!(status, Failed | Cancelled | Cancelling)
                    && !self.withdrawn.contains_key(&row.job.id)
            })
            .filter_map(|row| Some((row, row.version_key.as_ref()?)))
    }

    /// Makes the jobs of a plan that [`check_plan`](Self::check_plan) accepted.
    pub(super) fn plant_all(
        &mut self,
        submission: SubmissionId,
        plan: &[PlannedJob],
        act: Act<'_>,
    ) -> Result<Vec<Job>> {
        plan.iter().map(|planned| self.plant(submission, planned, act)).collect()
    }

    fn plant(
        &mut self,
        submission: SubmissionId,
        planned: &PlannedJob,
        act: Act<'_>,
    ) -> Result<Job> {
        let id = JobId(next_number(self.jobs.len()));
        let job = planned.job(id, submission, act.at);
        let version_key = planned.version.as_ref().map(|(_, key)| key.clone());
        let row =
            JobRow { job: job.clone(), version_key, events: Vec::new(), attempts: Vec::new() };
        self.jobs.insert(id, row);
        self.note(id, None, act)?;
        self.supersede(&job, planned, act)?;
        Ok(job)
    }

    /// Ends the unfinished jobs that the new one replaces.
    fn supersede(&mut self, new: &Job, planned: &PlannedJob, act: Act<'_>) -> Result<()> {
        let Some((version, key)) = &planned.version else { return Ok(()) };
        let replaced = |row: &&JobRow| {
            let older = row.version_key.as_ref().is_some_and(|has| has <= key);
            older
                && row.job.submission != new.submission
                && row.job.package == new.package
                && row.job.target == new.target
        };
        let found: Vec<_> =
            self.jobs.values().filter(replaced).map(|row| (row.job.id, row.job.status)).collect();
        let cause = format!("superseded by version {version}");
        for (id, status) in found {
            let to = match status {
                JobStatus::Waiting | JobStatus::Blocked => JobStatus::Cancelled,
                JobStatus::Building => JobStatus::Cancelling,
                _ => continue,
            };
            self.row_mut(id)?.job.superseded_by = Some(new.id);
            self.set_status(id, to, Act { cause: &cause, ..act })?;
        }
        Ok(())
    }
}

/// Orders jobs by version, then by number.
pub(super) fn rank<'a>((row, key): &(&'a JobRow, &'a Vec<u8>)) -> (&'a Vec<u8>, JobId) {
    (key, row.job.id)
}
