//! What build clients and watchers say.

use serde::{Deserialize, Serialize};

use crate::model::{
    Failure, FileName, FileSpec, Job, JobId, PackageName, Produced, Source, Suite, Version,
};
use crate::storage::ClientReport;

/// "Give me a job."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Who asks, and what it builds.
    pub client: ClientReport,
    /// Unique for each claim, 8 to 64 characters: asking again with it returns the same job, and 409 with the code
    /// `claim_over` once the job is not held by that claim any more; the next one needs a new id.
    pub claim_id: String,
    /// How long the server may hold the answer until there is a job, in milliseconds; at most 30 000.
    #[serde(default)]
    pub wait_ms: u32,
}

/// The answer to a claim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClaimReply {
    /// The job, if there is one.
    pub assignment: Option<Assignment>,
    /// The times that the client keeps to.
    pub lease: LeaseTimes,
}

/// The times of a lease, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseTimes {
    /// A job whose client is silent this long is given to another.
    pub ttl_ms: u64,
    /// How often the client reports.
    pub heartbeat_ms: u64,
}

/// A job to build, with all that the client needs for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assignment {
    /// The job; `job.attempt` is the fencing token.
    pub job: Job,
    /// Where its source comes from.
    pub input: Input,
    /// Repositories of the farm whose packages the build may use.
    pub repositories: Vec<RepositoryAccess>,
    /// Bounds of the build.
    pub limits: Limits,
}

/// Where the source of a job comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Input {
    /// A source job: fetch it.
    Fetch {
        /// What to fetch.
        source: Source,
        /// The files of an upload.
        files: Vec<RemoteFile>,
    },
    /// A binary job: build from this source package.
    Package {
        /// The source description among the files, e.g. the `.dsc`.
        main: FileName,
        /// Every file of the source package.
        files: Vec<RemoteFile>,
    },
}

/// A file that the server keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemoteFile {
    /// Name, size and digest.
    #[serde(flatten)]
    pub spec: FileSpec,
    /// Its address below the server's, starting with `/api/v1/`.
    pub path: String,
}

/// A repository that a build may install from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryAccess {
    /// Its absolute address.
    pub url: String,
    /// The suite in it.
    pub suite: Suite,
    /// The armoured public key that its index is signed with.
    pub public_key: String,
    /// Whether its newer packages take the place of the distribution's in a build root. Default: only what closes a relation that the
    /// distribution cannot is installed.
    #[serde(default)]
    pub overlay: bool,
}

/// Bounds of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Seconds that a build may take.
    pub wall_secs: u64,
    /// Seconds that a build may say nothing.
    pub silent_secs: u64,
    /// Bytes of log that a build may write.
    pub log_bytes: u64,
}

/// "I am alive, and these are my jobs."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// Who reports.
    pub client: ClientReport,
    /// Every job it has in hand, spooled results among them.
    pub jobs: Vec<Held>,
}

/// A job in a client's hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatReply {
    /// One verdict a job, in the order of the request.
    pub verdicts: Vec<Verdict>,
    /// Take no more jobs.
    pub draining: bool,
    /// The times that the client keeps to.
    pub lease: LeaseTimes,
}

/// What a client shall do with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Stop it, destroy its environment, confirm.
    Cancel,
    /// Another attempt has it, or it has ended: stop, clean up, say nothing more.
    Stale,
    /// The server does not know it: stop, clean up.
    Unknown,
}

/// The answer to an append: how long the stream is and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Length {
    /// Bytes.
    pub length: u64,
}

/// The files that an attempt is about to send, or that an upload consists of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The attempt; 0 for an upload.
    #[serde(default)]
    pub attempt: u32,
    /// Every file.
    pub files: Vec<FileSpec>,
}

/// How far a declared file has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileState {
    /// What was declared.
    #[serde(flatten)]
    pub spec: FileSpec,
    /// Bytes that are durable.
    pub length: u64,
    /// Whole and checked against its digest.
    pub complete: bool,
}

/// The whole log of an attempt, so that the server can check that it has every byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogDigest {
    /// Bytes.
    pub length: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// "It is built; files and log are with you."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    /// The attempt.
    pub attempt: u32,
    /// The log.
    pub log: LogDigest,
    /// Every file of the result.
    pub files: Vec<FileSpec>,
    /// What a source job has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceReport>,
    /// The binary packages among the files.
    #[serde(default)]
    pub produced: Vec<Produced>,
}

/// The source package that a source job has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceReport {
    /// The source description among the files, e.g. the `.dsc`; the server reads name, version and architectures from it.
    pub main: FileName,
    /// What the source was resolved to: a commit id, an exact version.
    pub resolved: String,
}

/// "It did not build."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FailRequest {
    /// The attempt.
    pub attempt: u32,
    /// The log.
    pub log: LogDigest,
    /// Why.
    pub failure: Failure,
    /// For a dep-wait, the relations that are missing, in the format's own notation.
    #[serde(default)]
    pub unmet: Vec<String>,
}

/// "I cannot build this; give it to another."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefuseRequest {
    /// The attempt.
    pub attempt: u32,
    /// Why.
    pub reason: String,
}

/// "It is stopped: no process of it is left and its environment is gone."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StoppedRequest {
    /// The attempt.
    pub attempt: u32,
    /// The log.
    pub log: LogDigest,
}

/// A finished result that a repository has to publish.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadedSet {
    /// The job; `job.attempt` is the attempt whose result it is.
    pub job: Job,
    /// The files of the result.
    pub files: Vec<RemoteFile>,
    /// The source package that it was built from, where this job is the one that publishes it.
    pub source_files: Vec<RemoteFile>,
}

/// "The repository holds exactly these bytes."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishedRequest {
    /// The attempt whose result was published.
    pub attempt: u32,
    /// The name of the repository state that first holds it.
    pub snapshot: String,
}

/// "The repository refuses it."
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RejectedRequest {
    /// The attempt whose result was refused.
    pub attempt: u32,
    /// Why.
    pub reason: String,
}

/// A job that a submission would become, and why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedView {
    /// `source` or `binary`.
    pub kind: crate::model::JobKind,
    /// The package, or a label until the source is read.
    pub package: PackageName,
    /// The version, where it is known.
    pub version: Option<Version>,
    /// Where it would build.
    pub target: crate::model::Target,
    /// Whether it would also build the architecture-independent packages.
    pub master: bool,
    /// Why this architecture, this environment, this master, in words.
    pub why: String,
}

/// An error as the API answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// A stable code for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// For an append that does not fit: the offset that the stream expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
}
