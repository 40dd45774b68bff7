//! Which stored objects make up a log or a file.

use async_trait::async_trait;

use super::{MemoryStorage, State, first, next_number};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    Appended, FileName, FileSpec, JobId, JobStatus, NewPart, Part, Stream, StreamId, StreamOwner,
    StreamRole, Upload, UploadId,
};
use crate::storage::StreamStore;

#[derive(Debug)]
pub(super) struct StreamRow {
    stream: Stream,
    parts: Vec<Part>,
}

#[async_trait]
impl StreamStore for MemoryStorage {
    async fn new_upload(
        &self,
        principal: &str,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Upload> {
        let mut state = self.state();
        let id = UploadId(next_number(state.uploads.len()));
        state.check_declared(StreamOwner::Upload(id), files)?;
        let upload = Upload { id, principal: principal.to_owned(), created_at: at };
        state.uploads.insert(id, upload.clone());
        state.declare(StreamOwner::Upload(id), files);
        Ok(upload)
    }

    async fn upload(&self, id: UploadId) -> Result<Option<Upload>> {
        Ok(self.state().uploads.get(&id).cloned())
    }

    async fn declare_files(
        &self,
        owner: StreamOwner,
        files: &[FileSpec],
        _: Timestamp,
    ) -> Result<Vec<Stream>> {
        let mut state = self.state();
        state.fence(owner, StreamRole::File)?;
        state.check_declared(owner, files)?;
        Ok(state.declare(owner, files))
    }

    async fn streams(&self, owner: StreamOwner) -> Result<Vec<Stream>> {
        Ok(self.state().streams_of(owner).cloned().collect())
    }

    async fn stream(&self, id: StreamId) -> Result<Option<Stream>> {
        Ok(self.state().streams.get(&id).map(|row| row.stream.clone()))
    }

    async fn append_part(&self, id: StreamId, part: &NewPart) -> Result<Appended> {
        let mut state = self.state();
        let row = state.writable(id)?;
        let stream = &mut row.stream;
        if stream.object.is_some() {
            return Err(sealed(stream));
        }
        if part.offset != stream.length {
            return Ok(Appended::Mismatch(stream.length));
        }
        let length = stream.length.saturating_add(part.length);
        if let Some(size) = stream.size.filter(|size| length > *size) {
            let message =
                format!("the file {} was declared with {size} bytes, not {length}", stream.name);
            return Err(Error::invalid(message).with_code("size_exceeded"));
        }
        stream.length = length;
        if part.length > 0 {
            row.parts.push(part.clone());
        }
        Ok(Appended::Grown(length))
    }

    async fn parts(&self, id: StreamId, offset: u64, limit: u32) -> Result<Vec<Part>> {
        let state = self.state();
        let parts = state.streams.get(&id).map(|row| row.parts.as_slice()).unwrap_or_default();
        Ok(first(parts.iter().filter(|p| end(p) > offset).cloned(), limit))
    }

    async fn merge_parts(&self, id: StreamId, into: &NewPart) -> Result<bool> {
        let mut state = self.state();
        let Some(row) = state.streams.get_mut(&id) else { return Ok(false) };
        let from = row.parts.iter().position(|p| p.offset == into.offset);
        let to = row.parts.iter().position(|p| end(p) == end(into));
        let (Some(from), Some(to)) = (from, to) else { return Ok(false) };
        if to < from {
            return Ok(false);
        }
        row.parts.splice(from..=to, [into.clone()]);
        Ok(true)
    }

    async fn seal(&self, id: StreamId, length: u64, object: &str, sha256: &str) -> Result<bool> {
        let mut state = self.state();
        let row = match state.existing(id)?.stream.role {
            StreamRole::File => state.writable(id)?,
            // The archive takes a log when its attempt is over.
            StreamRole::Log => state.existing(id)?,
        };
        let stream = &mut row.stream;
        if stream.object.is_some() || stream.length != length {
            return Ok(false);
        }
        if let Some(size) = stream.size.filter(|size| *size != length) {
            let message = format!("the file {} has {length} of its {size} bytes", stream.name);
            return Err(Error::conflict(message).with_code("incomplete"));
        }
        stream.object = Some(object.to_owned());
        stream.sha256.get_or_insert_with(|| sha256.to_owned());
        row.parts.clear();
        Ok(true)
    }

    async fn reset(&self, id: StreamId) -> Result<()> {
        let mut state = self.state();
        let row = state.writable(id)?;
        if row.stream.role == StreamRole::Log {
            return Err(Error::internal("a log never starts again").with_code("not_a_file"));
        }
        if row.stream.object.is_some() {
            return Err(sealed(&row.stream));
        }
        row.stream.length = 0;
        row.parts.clear();
        Ok(())
    }

    async fn unsealed_logs(&self, limit: u32) -> Result<Vec<Stream>> {
        let state = self.state();
        let streams = state.streams.values().map(|row| &row.stream);
        let left = streams.filter(|s| {
            s.role == StreamRole::Log && s.object.is_none() && state.has_ended(s.owner)
        });
        Ok(first(left.cloned(), limit))
    }
}

impl State {
    /// The streams of an owner, by number.
    pub(super) fn streams_of(&self, owner: StreamOwner) -> impl Iterator<Item = &Stream> {
        self.streams.values().map(|row| &row.stream).filter(move |s| s.owner == owner)
    }

    /// The empty log of a new attempt.
    pub(super) fn add_log(&mut self, job: JobId, attempt: u32) -> Result<()> {
        let name: FileName = "log".parse()?;
        self.add_stream(StreamOwner::Attempt { job, attempt }, StreamRole::Log, name, None);
        Ok(())
    }

    fn add_stream(
        &mut self,
        owner: StreamOwner,
        role: StreamRole,
        name: FileName,
        declared: Option<&FileSpec>,
    ) -> Stream {
        let id = StreamId(next_number(self.streams.len()));
        let (size, sha256) = (declared.map(|f| f.size), declared.map(|f| f.sha256.clone()));
        let stream = Stream { id, owner, role, name, size, sha256, length: 0, object: None };
        self.streams.insert(id, StreamRow { stream: stream.clone(), parts: Vec::new() });
        stream
    }

    fn file(&self, owner: StreamOwner, name: &FileName) -> Option<&Stream> {
        self.streams_of(owner).find(|s| s.role == StreamRole::File && s.name == *name)
    }

    /// No name is declared with two sizes or digests, neither now nor before.
    fn check_declared(&self, owner: StreamOwner, files: &[FileSpec]) -> Result<()> {
        for (at, file) in files.iter().enumerate() {
            let before = files.iter().take(at).any(|f| f.name == file.name && f != file);
            let stored = self.file(owner, &file.name);
            let same = |s: &Stream| {
                s.size == Some(file.size) && s.sha256.as_deref() == Some(file.sha256.as_str())
            };
            if before || stored.is_some_and(|s| !same(s)) {
                let message =
                    format!("the file {} was declared with another size or digest", file.name);
                return Err(Error::conflict(message).with_code("manifest_changed"));
            }
        }
        Ok(())
    }

    /// The streams of files that [`check_declared`](Self::check_declared) accepted, in the order of the list.
    fn declare(&mut self, owner: StreamOwner, files: &[FileSpec]) -> Vec<Stream> {
        let mut streams = Vec::with_capacity(files.len());
        for file in files {
            let stream = self.file(owner, &file.name).cloned();
            streams.push(stream.unwrap_or_else(|| {
                self.add_stream(owner, StreamRole::File, file.name.clone(), Some(file))
            }));
        }
        streams
    }

    fn existing(&mut self, id: StreamId) -> Result<&mut StreamRow> {
        let missing = || Error::not_found(format!("there is no stream {id}"));
        self.streams.get_mut(&id).ok_or_else(missing)
    }

    /// The stream, if its owner may still write to it.
    fn writable(&mut self, id: StreamId) -> Result<&mut StreamRow> {
        let stream = &self.existing(id)?.stream;
        let (owner, role) = (stream.owner, stream.role);
        self.fence(owner, role)?;
        self.existing(id)
    }

    fn fence(&self, owner: StreamOwner, role: StreamRole) -> Result<()> {
        let (job, attempt) = match owner {
            StreamOwner::Attempt { job, attempt } => (&self.row(job)?.job, attempt),
            StreamOwner::Upload(id) => {
                let missing = || Error::not_found(format!("there is no upload {id}"));
                return self.uploads.get(&id).map(drop).ok_or_else(missing);
            }
        };
        let takes = match job.status {
            JobStatus::Building | JobStatus::Waiting => true,
            JobStatus::Cancelling => role == StreamRole::Log,
            _ => false,
        };
        let (code, what) = if attempt < job.attempt {
            ("stale_attempt", "is over")
        } else if attempt > job.attempt {
            ("future_attempt", "was never given")
        } else if !takes {
            ("not_building", "takes nothing any more")
        } else {
            return Ok(());
        };
        let message = format!(
            "attempt {attempt} of job {} {what}: the job is {}, its newest attempt {}",
            job.id, job.status, job.attempt
        );
        Err(Error::conflict(message).with_code(code))
    }

    fn has_ended(&self, owner: StreamOwner) -> bool {
        let StreamOwner::Attempt { job, attempt } = owner else { return false };
        let attempts = self.jobs.get(&job).map(|row| row.attempts.as_slice()).unwrap_or_default();
        attempts.iter().any(|a| a.attempt.number == attempt && a.attempt.outcome.is_some())
    }
}

/// The offset after its last byte.
fn end(part: &Part) -> u64 {
    part.offset.saturating_add(part.length)
}

fn sealed(stream: &Stream) -> Error {
    Error::conflict(format!("{} is complete and does not change any more", stream.name))
        .with_code("sealed")
}
