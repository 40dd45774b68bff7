//! What people's tools ask: submissions, jobs, tokens, accounts.

use serde::{Deserialize, Serialize};

use super::client::FileState;
use crate::model::{
    AccountName, Attempt, CatalogueChange, ClientName, Event, Health, Job, JobId, NameGrant,
    PackageName, Password, Role, Submission, SubmissionId, Token,
};
use crate::publish::Listed;

/// A submission and its jobs so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubmissionReply {
    /// The submission.
    pub submission: Submission,
    /// Its jobs, by number; those that a source job leads to come into being when it ends.
    pub jobs: Vec<Job>,
    /// Whether an earlier request with the same idempotency key had already recorded it.
    #[serde(default)]
    pub repeated: bool,
}

/// Many submissions in one request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The submissions, each as by itself; one that cannot be read is refused alone.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::model::NewSubmission>))]
    pub submissions: Vec<serde_json::Value>,
    /// Whether so many jobs are meant, however many they become.
    #[serde(default)]
    pub confirmed: bool,
}

/// What became of each, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchReply {
    /// One line for each submission.
    pub lines: Vec<BatchLine>,
}

/// What became of one submission of a batch: it has a number, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum BatchLine {
    /// It is recorded.
    Recorded {
        /// Its number.
        submission: SubmissionId,
        /// Its jobs so far.
        jobs: Vec<JobId>,
        /// Whether an earlier request with the same idempotency key had already recorded it.
        repeated: bool,
    },
    /// It is refused; the others are not.
    Refused {
        /// The stable code.
        code: String,
        /// Why, in words.
        message: String,
    },
}

/// A job with everything that is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobDetail {
    /// The job.
    pub job: Job,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Its status changes, oldest first.
    pub events: Vec<Event>,
    /// The files of its newest attempt.
    pub files: Vec<FileState>,
}

/// Why a job is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The job's status in one sentence.
    pub summary: String,
    /// Jobs that are claimed before it for the same target, while it waits.
    pub ahead: Option<u64>,
    /// What decides its place among them: its priority and weight, and where the weight comes from.
    #[serde(default)]
    pub order: String,
    /// One line for each client: whether it could take the job, and if not, what stands in the way.
    pub clients: Vec<ClientReason>,
}

/// What a client has to do with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClientReason {
    /// The client.
    pub client: ClientName,
    /// Whether it could take the job as soon as it has a free slot.
    pub eligible: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Which jobs to cancel: a package's, those of submissions, or all. Exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelMany {
    /// Every unfinished job of this source package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// Every unfinished job of these submissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submissions: Vec<SubmissionId>,
    /// Every unfinished job of the farm.
    #[serde(default)]
    pub all: bool,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why to cancel one job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTokenRequest {
    /// What people call it, 1 to 64 printable characters.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The build client that it belongs to, exactly when the role is `client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
    /// The names of the base distribution that sources may be submitted under with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameGrant>,
    /// Days until it ends by itself, 1 to 3650; never where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// A new token with its secret, which is never shown again.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewTokenReply {
    /// The token.
    pub token: Token,
    /// The secret: `pbt_` and 64 hexadecimal digits.
    pub secret: String,
}

impl std::fmt::Debug for NewTokenReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewTokenReply").field("token", &self.token).finish_non_exhaustive()
    }
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAccountRequest {
    /// Its name.
    pub name: AccountName,
    /// What it may do: `admin`, `submit` or `publish`.
    pub role: Role,
    /// The names of the base distribution that sources may be submitted under with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameGrant>,
    /// Its password, 8 characters to 1024 bytes.
    pub password: Password,
    /// Days until it ends by itself, 1 to 3650; never where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// An account's new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password, 8 characters to 1024 bytes.
    pub password: Password,
}

/// What replacing the catalogue changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CatalogueReply {
    /// The steps, additions first; none where it was like that already.
    pub changes: Vec<CatalogueChange>,
    /// Whether they were taken; a dry run takes none.
    pub applied: bool,
}

/// Key and address of a repository, as its watcher tells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RepositoryKey {
    /// The armoured public key that its index is signed with.
    pub public_key: String,
    /// The address that builds install from, `http://…` or `https://…`.
    pub url: String,
    /// The health of key and index; absent from an older watcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// The packages that a repository holds, as its watcher tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RepositoryPackages {
    /// The packages, source packages among them; at most [`MAX_PACKAGES`](Self::MAX_PACKAGES).
    pub packages: Vec<Listed>,
}

impl RepositoryPackages {
    /// The most packages of one repository that a farm keeps.
    pub const MAX_PACKAGES: usize = 200_000;
}

/// A set of packages about whose names a watcher asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NamesRequest {
    /// The source package.
    pub source: PackageName,
    /// The names of its binary packages, and those whose place they would take.
    pub binaries: Vec<String>,
}
