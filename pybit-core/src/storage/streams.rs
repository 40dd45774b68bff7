//! Which stored objects make up a log or a file.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{
    Appended, FileSpec, NewPart, Part, Stream, StreamId, StreamOwner, Upload, UploadId,
};

/// Growing runs of bytes, by offset.
///
/// Where a stream belongs to an attempt, every write is fenced by the attempt number:
///
/// - `writes_of_an_older_attempt_are_refused`: a number below the job's newest fails, `Conflict`, code `stale_attempt`.
/// - `writes_of_a_future_attempt_are_refused`: a number above it fails, `Conflict`, code `future_attempt`.
/// - `writes_to_an_ended_job_are_refused`: files need the job `Building` or `Waiting` (its lease lapsed, nobody claimed
///   it again), logs also `Cancelling`; else it fails, `Conflict`, code `not_building`.
#[async_trait]
pub trait StreamStore: Send + Sync + std::fmt::Debug {
    /// Makes an upload with its declared files.
    async fn new_upload(
        &self,
        principal: &str,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Upload>;

    /// `None` where there is no such upload.
    async fn upload(&self, id: UploadId) -> Result<Option<Upload>>;

    /// Declares the files of an attempt.
    ///
    /// - `declaring_twice_returns_the_same_streams`: an equal list changes nothing and returns the same streams; one that
    ///   differs in a name's size or digest fails, `Conflict`, code `manifest_changed`; new names are added.
    async fn declare_files(
        &self,
        owner: StreamOwner,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Vec<Stream>>;

    /// The streams of an owner, by number; empty where there are none.
    async fn streams(&self, owner: StreamOwner) -> Result<Vec<Stream>>;

    /// `None` where there is no such stream.
    async fn stream(&self, id: StreamId) -> Result<Option<Stream>>;

    /// Appends a part whose bytes are already durable in the object store.
    ///
    /// - `a_part_is_appended_at_the_end_only`: an offset other than the stream's length changes nothing and returns
    ///   `Mismatch` with the length; of concurrent appends at one offset exactly one grows the stream.
    /// - `a_file_never_outgrows_its_declared_size`: beyond the declared size it fails, `Invalid`, code `size_exceeded`.
    /// - `a_sealed_stream_does_not_grow`: it fails, `Conflict`, code `sealed`.
    async fn append_part(&self, stream: StreamId, part: &NewPart) -> Result<Appended>;

    /// The parts that hold bytes from `offset` on, in order, at most `limit`.
    async fn parts(&self, stream: StreamId, offset: u64, limit: u32) -> Result<Vec<Part>>;

    /// Puts one part in the place of those that cover exactly its bytes; `false`, and nothing changes, where the parts
    /// from its offset on do not add up to it.
    async fn merge_parts(&self, stream: StreamId, into: &NewPart) -> Result<bool>;

    /// Puts one object in the place of all parts: the stream is complete. `false`, and nothing changes, where the
    /// length is not `length` any more or it is sealed already.
    ///
    /// - `sealing_needs_the_whole_stream`: a file whose length is not its declared size fails, `Conflict`, code
    ///   `incomplete`.
    async fn seal(&self, stream: StreamId, length: u64, object: &str, sha256: &str)
    -> Result<bool>;

    /// Forgets all parts of a file that is not sealed: its bytes were not the declared ones, it starts again from 0.
    async fn reset(&self, stream: StreamId) -> Result<()>;

    /// Logs of attempts that have ended and are not sealed, at most `limit`: what the archive still has to take.
    async fn unsealed_logs(&self, limit: u32) -> Result<Vec<Stream>>;
}
