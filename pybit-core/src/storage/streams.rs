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
///
/// A write is what grows, declares, resets or seals; only a log is sealed, and any stream's parts merged, whenever it
/// suits the archive: the bytes stay what they are. A stream, upload or job that does not exist fails, `NotFound`.
#[async_trait]
pub trait StreamStore: Send + Sync + std::fmt::Debug {
    /// Makes an upload with its declared files.
    ///
    /// - `an_upload_keeps_its_owner_and_files`: the upload names its principal; each file is an empty stream of its own.
    ///   A list that contradicts itself is refused as in `declare_files`.
    async fn new_upload(
        &self,
        principal: &str,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Upload>;

    /// - `absent_streams_are_none`: `None` where there is no such upload.
    async fn upload(&self, id: UploadId) -> Result<Option<Upload>>;

    /// Declares the files of an attempt.
    ///
    /// - `declaring_twice_returns_the_same_streams`: an equal list changes nothing and returns the same streams; one that
    ///   differs in a name's size or digest, from the first or from itself, fails, `Conflict`, code `manifest_changed`; new
    ///   names are added.
    async fn declare_files(
        &self,
        owner: StreamOwner,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Vec<Stream>>;

    /// - `absent_streams_are_none`: the streams of an owner, by number; empty where there are none.
    async fn streams(&self, owner: StreamOwner) -> Result<Vec<Stream>>;

    /// - `absent_streams_are_none`: `None` where there is no such stream.
    async fn stream(&self, id: StreamId) -> Result<Option<Stream>>;

    /// Appends a part whose bytes are already durable in the object store.
    ///
    /// - `a_part_is_appended_at_the_end_only`: an offset other than the stream's length changes nothing and returns
    ///   `Mismatch` with the length; of concurrent appends at one offset exactly one grows the stream.
    /// - `a_file_never_outgrows_its_declared_size`: beyond the declared size it fails, `Invalid`, code `size_exceeded`.
    /// - `a_sealed_stream_does_not_grow`: it fails, `Conflict`, code `sealed`.
    async fn append_part(&self, stream: StreamId, part: &NewPart) -> Result<Appended>;

    /// The parts that hold bytes from `offset` on, in order, at most `limit`.
    ///
    /// - `parts_start_with_the_one_that_holds_the_offset`: none where the stream ends at or before `offset`.
    async fn parts(&self, stream: StreamId, offset: u64, limit: u32) -> Result<Vec<Part>>;

    /// Puts one part in the place of those that cover exactly its bytes; `false`, and nothing changes, where the parts
    /// from its offset on do not add up to it.
    ///
    /// - `merged_parts_are_exactly_covered`: first and last byte of `into` are a part's first and a part's last byte.
    async fn merge_parts(&self, stream: StreamId, into: &NewPart) -> Result<bool>;

    /// Puts one object in the place of all parts: the stream is complete. `false`, and nothing changes, where the
    /// length is not `length` any more or it is sealed already.
    ///
    /// - `sealing_needs_the_whole_stream`: a file whose length is not its declared size fails, `Conflict`, code
    ///   `incomplete`.
    /// - `a_sealed_stream_is_one_object`: it keeps its length and has no parts; a log takes the digest, a file keeps its
    ///   declared one.
    async fn seal(&self, stream: StreamId, length: u64, object: &str, sha256: &str)
    -> Result<bool>;

    /// Forgets all parts of a file that is not sealed: its bytes were not the declared ones.
    ///
    /// - `a_reset_file_starts_again_from_0`: a sealed one fails, `Conflict`, code `sealed`; a log fails.
    async fn reset(&self, stream: StreamId) -> Result<()>;

    /// Logs of attempts that have ended and are not sealed, by number, at most `limit`: what the archive still has to
    /// take.
    ///
    /// - `unsealed_logs_are_those_of_ended_attempts`: whatever the status of the job.
    async fn unsealed_logs(&self, limit: u32) -> Result<Vec<Stream>>;

    /// The objects of complete files with these bytes, each once, by name: a file that arrives again needs no second one.
    ///
    /// - `complete_files_are_found_by_their_digest`: those of jobs and of uploads; no log, and no file that still arrives.
    async fn objects_of(&self, sha256: &str) -> Result<Vec<String>>;

    /// Forgets the pieces of files that never became whole, of at most `limit` files: those of uploads that were made before
    /// `before` and of attempts that ended before it. Returns the objects that the pieces were.
    ///
    /// - `files_that_never_became_whole_are_given_up`: complete files, logs and younger ones stay; one whose sender comes
    ///   back all the same starts again from 0.
    async fn give_up_unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<String>>;
}
