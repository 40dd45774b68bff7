//! Submissions, jobs, attempts, events, and the outbox.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Changes;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    Attempt, ClientName, Dist, Event, Failure, FormatName, Job, JobFilter, JobId, JobKind,
    JobStatus, NameGrant, NewSubmission, Outcome, PackageName, Page, Route, StatusCounts,
    Submission, SubmissionId, Suite, Target, Version,
};

/// A job as the planner wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// What it makes.
    pub kind: JobKind,
    /// The source package, or a label while a source job has not read it.
    pub package: PackageName,
    /// The version with its sort key ([`VersionOrder::key`](crate::version::VersionOrder::key)); absent for source jobs.
    pub version: Option<(Version, Vec<u8>)>,
    /// Where it builds.
    pub target: Target,
    /// Whether it also builds the architecture-independent packages.
    pub master: bool,
    /// The weight of its target.
    pub weight: i32,
    /// The submission's priority.
    pub priority: i32,
    /// Skips the version rules: builds what the suite already has, and supersedes an equal version too.
    pub force: bool,
    /// The source job that it builds from.
    pub source_job: Option<JobId>,
    /// The job that it tries again.
    pub retries_of: Option<JobId>,
}

impl PlannedJob {
    /// The job as it comes into being in every storage: `Waiting`, at row version 1.
    pub fn job(&self, id: JobId, submission: SubmissionId, at: Timestamp) -> Job {
        Job {
            id,
            submission,
            kind: self.kind,
            package: self.package.clone(),
            version: self.version.as_ref().map(|(version, _)| version.clone()),
            target: self.target.clone(),
            master: self.master,
            status: JobStatus::Waiting,
            row_version: 1,
            attempt: 0,
            client: None,
            lease_epoch: 0,
            infra_retries: 0,
            dep_waits: 0,
            lost_by: Vec::new(),
            avoid: None,
            // Not `at`: a server whose wall clock runs behind may hand it out at once.
            not_before: Timestamp::from_micros(0),
            priority: self.priority,
            weight: self.weight,
            unmet: Vec::new(),
            failure: None,
            produced: Vec::new(),
            source_job: self.source_job,
            retries_of: self.retries_of,
            superseded_by: None,
            created_at: at,
            changed_at: at,
        }
    }
}

/// A submission with its plan, ready to be recorded.
#[derive(Debug, Clone)]
pub struct SubmissionRecord {
    /// What was asked for.
    pub request: NewSubmission,
    /// Who asked.
    pub principal: String,
    /// The names of the base distribution that the principal may submit under.
    pub names: Vec<NameGrant>,
    /// Makes a repeated request harmless; unique for each principal.
    pub idempotency_key: Option<String>,
    /// What it becomes.
    pub jobs: Vec<PlannedJob>,
}

/// What became of a recorded submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The submission.
    pub submission: Submission,
    /// Its jobs, in the order of the plan.
    pub jobs: Vec<Job>,
    /// Whether an earlier request with the same key had already recorded it.
    pub repeated: bool,
}

/// A client's wish for one job.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The client.
    pub client: ClientName,
    /// Its process.
    pub boot: String,
    /// Unique for each claim: asking again with it returns the same job.
    pub claim_id: String,
    /// What it can build, source targets among it.
    pub offers: Vec<Target>,
    /// The client's own weights of its offers, in their order: each is added to the weight of the jobs there. 0 where one is
    /// missing.
    pub weights: Vec<i32>,
}

impl Claim {
    /// The stable code of a claim whose job went elsewhere before its client heard of it.
    pub const OVER: &str = "claim_over";

    /// The client's own weight of an offer.
    pub fn own_weight(&self, target: &Target) -> i32 {
        let place = self.offers.iter().position(|offer| offer == target);
        place.and_then(|n| self.weights.get(n)).copied().unwrap_or(0)
    }

    /// What a claim is told whose job is not held by its attempt any more: it never brings anything again.
    pub fn over(job: JobId) -> Error {
        let message = format!(
            "this claim brought job {job}, which it does not hold any more; claim under a new id"
        );
        Error::conflict(message).with_code(Self::OVER)
    }
}

/// One status change, decided; takes effect if nobody was faster.
#[derive(Debug, Clone)]
pub struct Change {
    /// The `row_version` that the decision was made on.
    pub expected: i64,
    /// The lease epoch that must still stand, for a lease that is to lapse.
    pub expected_lease: Option<i64>,
    /// The job as it becomes. Its `lease_epoch` is ignored: the storage moves it by itself.
    pub after: Job,
    /// Who does it.
    pub actor: String,
    /// Why, in words.
    pub cause: String,
    /// How the newest attempt ends with it, if it does.
    pub attempt_end: Option<AttemptEnd>,
    /// The newest attempt goes on: its outcome is taken back.
    pub reopen_attempt: bool,
    /// Every declared file of the newest attempt must be complete.
    pub needs_files: bool,
    /// Jobs that come into being with it, in the same submission.
    pub follow: Vec<PlannedJob>,
    /// The sort key of `after.version`, where the change sets one.
    pub version_key: Option<Vec<u8>>,
    /// What it says of the health of the client that held the job.
    pub health: Option<HealthMark>,
}

/// How an attempt ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptEnd {
    /// How.
    pub outcome: Outcome,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// The digest of its whole log, where the client gave one.
    pub log_sha256: Option<String>,
}

/// What a change says of a client's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthMark {
    /// It did its work: its streak of infrastructure failures ends.
    Well,
    /// An infrastructure failure more; from the third in a row it takes nothing until then.
    Ill {
        /// The end of the quarantine, if this failure makes one.
        quarantined_until: Timestamp,
    },
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// It took effect; the job as it is now, and the jobs that followed.
    Done(Box<Job>, Vec<Job>),
    /// Somebody was faster; nothing was changed. The job as it is now.
    Stale(Box<Job>),
}

/// A held job and how far its lease has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Its lease epoch.
    pub epoch: i64,
}

/// A hint that has not been sent yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// The job that became claimable.
    pub job: JobId,
    /// The route to hint.
    pub route: Route,
}

/// Submissions and jobs.
#[async_trait]
pub trait JobStore: Send + Sync + std::fmt::Debug {
    /// Records a submission, its jobs, their first events (`None -> Waiting`) and one outbox row a job.
    ///
    /// - `submission_is_recorded_whole`: submission, jobs, events and outbox rows exist together, or after a refusal not
    ///   at all: not even the idempotency key.
    /// - `a_new_job_is_claimable_whatever_the_clock`: its `not_before` is the start of time, so a server whose wall clock
    ///   runs behind may hand it out at once.
    /// - `same_key_returns_the_first_result`: the same principal and idempotency key with an equal request changes
    ///   nothing and returns the first result with `repeated` set, from any number of concurrent callers.
    /// - `same_key_other_request_is_refused`: with another request it fails, `Conflict`, code `idempotency_key_reused`.
    /// - `newer_version_supersedes_older_unfinished`: jobs of the same package and equal target with a smaller version
    ///   key become `Cancelled` from `Waiting` and `Blocked`, `Cancelling` from `Building`, with `superseded_by` set and
    ///   an event; `Uploaded` and terminal jobs stay.
    /// - `older_version_is_refused`: unless forced, a version smaller than that of any job of the package in the same
    ///   (dist, suite, format) that is neither `Failed` nor `Cancelled`/`Cancelling` fails, `Conflict`, code
    ///   `older_version`, and the message names that version and job.
    /// - `equal_version_is_refused_with_a_pointer`: unless forced, a version equal to that of such a job with an equal
    ///   target fails, `Conflict`, code `same_version`, and the message names the job.
    /// - `forced_version_supersedes_its_equal`: forced, an equal unfinished job is superseded like an older one; a newer
    ///   one stays.
    /// - `jobs_of_one_submission_do_not_compete`: jobs of the same submission neither refuse nor supersede each other.
    async fn record_submission(&self, record: &SubmissionRecord, at: Timestamp)
    -> Result<Recorded>;

    /// - `absent_rows_are_none`: `None` where there is no such submission.
    async fn submission(&self, id: SubmissionId) -> Result<Option<Submission>>;

    /// - `absent_rows_are_none`: `None` where there is no such job.
    async fn job(&self, id: JobId) -> Result<Option<Job>>;

    /// - `jobs_come_newest_first_and_page_without_gaps`: descending by number; pages join without gap or repeat,
    ///   also while jobs are added.
    /// - `every_filter_field_narrows`: each field that is set narrows the answer.
    async fn jobs(&self, filter: &JobFilter, page: &Page) -> Result<Vec<Job>>;

    /// - `counts_agree_with_jobs`: the number of jobs in each status; statuses without jobs may be left out.
    async fn counts(&self) -> Result<StatusCounts>;

    /// - `events_are_numbered_without_gaps`: oldest first, numbered from 1, the last number equal to the job's
    ///   `row_version`.
    async fn events(&self, id: JobId) -> Result<Vec<Event>>;

    /// Oldest first.
    ///
    /// - `attempts_show_the_length_of_their_log`: `log_length` is that of the attempt's log stream at this moment.
    async fn attempts(&self, id: JobId) -> Result<Vec<Attempt>>;

    /// Gives the best claimable job of the offers to the client: `Waiting` becomes `Building`, the attempt number goes
    /// one up, the attempt and its empty log stream come into being, with an event.
    ///
    /// - `claim_takes_the_best`: highest priority, then highest weight, then smallest number, over all offers.
    /// - `a_clients_own_weights_are_added`: to the weights of the jobs of its offers; priorities go before them.
    /// - `claim_needs_an_exact_offer`: only jobs whose target equals an offer.
    /// - `claim_waits_for_not_before`: no job whose `not_before` is after `at`.
    /// - `a_pause_begun_by_a_clock_that_was_ahead_is_over`: but for those that changed more than a minute after `at`
    ///   ([`Job::is_paused`]).
    /// - `claim_prefers_another_client`: no job whose `avoid` names this client and ends after `at`.
    /// - `claim_passes_over_any_number_of_jobs`: however many there are that this client is not to have, and however good
    ///   they are, it gets the best of the others.
    /// - `concurrent_claims_take_each_job_once`: any number of concurrent claims never get the same job.
    /// - `claim_begins_an_attempt_with_an_empty_log`: the attempt of that number names client and process, its stream is
    ///   called `log`; row version and lease epoch go one up.
    /// - `same_claim_id_returns_the_same_job`: asking again returns the same job while that attempt is the newest and
    ///   the job is held, and fails with [`Claim::over`] after: to wait under this id would be to wait forever. Another
    ///   client's equal id never returns it.
    /// - `a_claim_asked_many_times_at_once_takes_one_job`: each time it is answered with that job.
    async fn claim(&self, claim: &Claim, at: Timestamp) -> Result<Option<Job>>;

    /// Applies one decided change by compare-and-set.
    ///
    /// - `change_on_an_old_row_is_stale`: unless `row_version` (and `expected_lease`, where given) still stand nothing
    ///   changes, and `Stale` carries the job as it is. An unknown job fails, `NotFound`.
    /// - `concurrent_changes_take_effect_once`: of any number of changes decided on the same row exactly one is `Done`.
    /// - `change_writes_job_event_and_attempt_together`: the job's mutable fields, its event numbered by the new
    ///   `row_version`, the end of its attempt, the health of its client and the following jobs take effect together.
    /// - `every_change_moves_the_lease`: the lease epoch goes one up, whatever `after.lease_epoch` says; `changed_at` is
    ///   `at`.
    /// - `a_reopened_attempt_goes_on`: with `reopen_attempt` the newest attempt has no outcome, failure, digest and end.
    /// - `health_counts_failures_in_a_row`: `Ill` adds one to the streak of the client that held the job and sets its
    ///   quarantine; `Well` ends both.
    /// - `change_to_waiting_enters_the_outbox`: a job that becomes `Waiting` gets an outbox row.
    /// - `change_needs_complete_files_when_asked`: with `needs_files`, an incomplete file of the newest attempt fails,
    ///   `Conflict`, code `files_incomplete`, and nothing changes.
    /// - `following_jobs_obey_the_version_rules`: they are checked and supersede as in `record_submission`; a refusal
    ///   fails the whole change.
    /// - `one_attempt_succeeds_at_most`: a second `Succeeded` outcome of a job fails, `Conflict`, as does a second end of
    ///   an attempt.
    /// - `illegal_transition_is_refused`: a change that the transition table does not have fails, `Internal`, as does
    ///   any change of a terminal job.
    /// - `texts_may_hold_any_character`: a cause, actor or failure message is never refused for what it says; a NUL may
    ///   come back as U+FFFD.
    async fn advance(&self, change: &Change, at: Timestamp) -> Result<Advance>;

    /// Moves the attempt number of a job that nobody holds past one that this storage never gave: the job's next
    /// attempt is `seen` and two more. `None` where there is nothing to move.
    ///
    /// - `a_resting_job_moves_past_an_attempt_never_given`: a `Waiting` or `Blocked` job whose number is below `seen` gets
    ///   `seen` and one, and no client; its event, from its status to the same, bears `cause`; row version, lease epoch and `changed_at`
    ///   move as with a change, a `Waiting` job gets another hint, and nothing else changes.
    /// - `other_jobs_keep_their_attempt`: one that is held or ended or has come as far, and an unknown one.
    async fn outrun(&self, id: JobId, seen: u32, cause: &str, at: Timestamp)
    -> Result<Option<Job>>;

    /// Every held job and its lease epoch.
    ///
    /// - `leases_are_those_of_held_jobs`: `Building` and `Cancelling`, no others.
    async fn leases(&self) -> Result<Vec<Lease>>;

    /// `Blocked` jobs behind `after`, at most `limit`, oldest first.
    ///
    /// - `blocked_jobs_come_oldest_first`: by number, with what they miss.
    async fn blocked(&self, after: Option<JobId>, limit: u32) -> Result<Vec<Job>>;

    /// `Uploaded` jobs of a suite and format behind `after`, at most `limit`, oldest first: what a repository has to publish.
    ///
    /// - `uploaded_jobs_are_those_of_the_suite`: distribution, suite and format all agree; by number.
    async fn uploaded(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>>;

    /// `Uploaded` jobs that nobody has to publish, at most `limit`, oldest first: source packages, and those of a suite and
    /// format without a repository.
    ///
    /// - `what_nobody_publishes_is_found`: by number; none that a repository takes.
    async fn unpublishable(&self, limit: u32) -> Result<Vec<Job>>;

    /// Routes that have a `Waiting` job whose `not_before` has come. Claims find the others that may be claimed.
    ///
    /// - `due_routes_come_once_each`: however many jobs wait there; none whose jobs all wait for a later time.
    async fn due_routes(&self, at: Timestamp) -> Result<Vec<Route>>;

    /// `Waiting` jobs with a higher rank than this one for an equal target: its place in the queue, from 0.
    ///
    /// - `ahead_of_counts_what_a_claim_takes_first`: the order is that of `claim`.
    async fn ahead_of(&self, job: &Job) -> Result<u64>;

    /// Unsent hints, oldest first, at most `limit`.
    ///
    /// - `outbox_rows_stay_until_marked`: a row is returned until it is marked; marking twice is harmless.
    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxRow>>;

    /// Marks hints as sent: the transport has confirmed them.
    async fn mark_sent(&self, ids: &[i64]) -> Result<()>;

    /// What moves when jobs become `Waiting` or `Uploaded`, through this handle, and through other handles and processes
    /// as far as the engine can tell. It is a hint: nothing is lost by who looks now and then instead.
    ///
    /// - `changes_move_when_they_took_effect`: `work` after a submission and a change to `Waiting`, or one that other jobs
    ///   follow; `results` after a change to `Uploaded`; neither after a refusal, a repetition or another change.
    fn changes(&self) -> watch::Receiver<Changes>;
}
