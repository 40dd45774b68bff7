//! Runs of stored bytes that grow by offset: logs, artifacts and uploaded sources on their way in.
//!
//! The bytes live in the object store, one object a part; the database holds which parts make up the stream, so
//! several servers can append and read, and a byte that a row names is always there.

use serde::{Deserialize, Serialize};

use super::id::{JobId, StreamId, UploadId};
use super::name::FileName;
use crate::clock::Timestamp;

/// Whose stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamOwner {
    /// One attempt of a job; appending needs that attempt to be the newest.
    Attempt {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: u32,
    },
    /// An upload that a submission will build from.
    Upload(UploadId),
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamRole {
    /// The log of an attempt: grows until the attempt ends.
    Log,
    /// A file of declared size and digest.
    File,
}

/// A declared file: what will arrive, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Its name; never a path.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A stream as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its number.
    pub id: StreamId,
    /// Whose it is.
    pub owner: StreamOwner,
    /// What it holds.
    pub role: StreamRole,
    /// The file's name; `log` for a log.
    pub name: FileName,
    /// The declared size; absent for a log.
    pub size: Option<u64>,
    /// The declared digest of a file; for a sealed log the digest of the whole.
    pub sha256: Option<String>,
    /// Bytes that are durable.
    pub length: u64,
    /// The object that holds the whole, once it is complete and checked; then there are no parts.
    pub object: Option<String>,
}

/// Some contiguous bytes of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The offset of its first byte in the stream.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// The object that holds them.
    pub object: String,
}

/// A part that is durable in the object store and asks to become part of the stream.
pub type NewPart = Part;

/// What became of an appended part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is part of the stream, which is now this long.
    Grown(u64),
    /// It does not start where the stream ends: the stream is this long, nothing was changed.
    Mismatch(u64),
}

/// An upload: files that arrive before the submission that builds from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Upload {
    /// Its number.
    pub id: UploadId,
    /// Who sends it; only they may add to it and build from it.
    pub principal: String,
    /// When it was declared.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_at: Timestamp,
}
