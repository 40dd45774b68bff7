//! Which stored objects make up a log or a file.

use std::collections::BTreeSet;
use std::ops::RangeBounds;

use async_trait::async_trait;

use super::{MemoryStorage, State, first, next_number};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{
    Appended, FileName, FileSpec, JobId, JobStatus, NewPart, Part, Stream, StreamId, StreamOwner,
    StreamRole, Upload, UploadId,
};
use crate::storage::StreamStore;

#[async_trait]
impl StreamStore for MemoryStorage {
    async fn new_upload(
        &self,
        principal: &str,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Upload> {
        self.write(|state| {
            let id = UploadId(next_number(state.uploads.len()));
            state.check_declared(StreamOwner::Upload(id), files)?;
            let upload = Upload { id, principal: principal.to_owned(), created_at: at };
            state.uploads.insert(id, upload.clone());
            state.declare(StreamOwner::Upload(id), files);
            Ok(upload)
        })
        .await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<Upload>> {
        Ok(self.read().await?.uploads.get(&id).cloned())
    }

    async fn declare_files(
        &self,
        owner: StreamOwner,
        files: &[FileSpec],
        _: Timestamp,
    ) -> Result<Vec<Stream>> {
        self.write(|state| {
            state.fence(owner, StreamRole::File)?;
            state.check_declared(owner, files)?;
            Ok(state.declare(owner, files))
        })
        .await
    }

    async fn streams(&self, owner: StreamOwner) -> Result<Vec<Stream>> {
        Ok(self.read().await?.streams_of(owner).cloned().collect())
    }

    async fn stream(&self, id: StreamId) -> Result<Option<Stream>> {
        Ok(self.read().await?.streams.get(&id).cloned())
    }

    async fn append_part(&self, id: StreamId, part: &NewPart) -> Result<Appended> {
        self.write(|state| state.append(id, part)).await
    }

    async fn parts(&self, id: StreamId, offset: u64, limit: u32) -> Result<Vec<Part>> {
        let state = self.read().await?;
        let parts = state.parts_of(id).filter(|p| end(p) > offset);
        Ok(first(parts.cloned(), limit))
    }

    async fn merge_parts(&self, id: StreamId, into: &NewPart) -> Result<bool> {
        self.write(|state| Ok(state.merge(id, into))).await
    }

    async fn seal(&self, id: StreamId, length: u64, object: &str, sha256: &str) -> Result<bool> {
        self.write(|state| state.seal(id, length, object, sha256)).await
    }

    async fn reset(&self, id: StreamId) -> Result<()> {
        self.write(|state| {
            let stream = state.writable(id)?;
            if stream.role == StreamRole::Log {
                return Err(Error::internal("a log never starts again").with_code("not_a_file"));
            }
            if stream.object.is_some() {
                return Err(sealed(stream));
            }
            state.stream_mut(id)?.length = 0;
            state.remove_parts(id, ..);
            Ok(())
        })
        .await
    }

    async fn unsealed_logs(&self, limit: u32) -> Result<Vec<Stream>> {
        let state = self.read().await?;
        let left = state.streams.values().filter(|s| {
            s.role == StreamRole::Log && s.object.is_none() && state.has_ended(s.owner)
        });
        Ok(first(left.cloned(), limit))
    }

    async fn objects_of(&self, sha256: &str) -> Result<Vec<String>> {
        let state = self.read().await?;
        let files = state.streams.values().filter(|s| s.role == StreamRole::File);
        let equal = files.filter(|s| s.sha256.as_deref() == Some(sha256));
        let objects: BTreeSet<_> = equal.filter_map(|s| s.object.clone()).collect();
        Ok(objects.into_iter().collect())
    }

    async fn give_up_unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<String>> {
        self.write(|state| {
            let left = state
                .streams
                .values()
                .filter(|s| s.role == StreamRole::File && s.object.is_none() && s.length > 0);
            let left = left.filter(|s| state.is_over(s.owner, before)).map(|s| s.id);
            let mut objects = Vec::new();
            for id in first(left, limit) {
                objects.extend(state.parts_of(id).map(|p| p.object.clone()));
                state.remove_parts(id, ..);
                state.stream_mut(id)?.length = 0;
            }
            Ok(objects)
        })
        .await
    }
}

impl State {
    fn append(&mut self, id: StreamId, part: &NewPart) -> Result<Appended> {
        let stream = self.writable(id)?;
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
        if part.length > 0 {
            self.stream_mut(id)?.length = length;
            self.parts.insert((id, part.offset), part.clone());
        }
        Ok(Appended::Grown(length))
    }

    fn merge(&mut self, id: StreamId, into: &NewPart) -> bool {
        let begins = self.parts.contains_key(&(id, into.offset));
        let ends = self.parts_of(id).any(|p| end(p) == end(into));
        if into.length == 0 || !begins || !ends {
            return false;
        }
        self.remove_parts(id, into.offset..end(into));
        self.parts.insert((id, into.offset), into.clone());
        true
    }

    fn seal(&mut self, id: StreamId, length: u64, object: &str, sha256: &str) -> Result<bool> {
        let stream = match self.existing(id)?.role {
            StreamRole::File => self.writable(id)?,
            // The archive takes a log when its attempt is over.
            StreamRole::Log => self.existing(id)?,
        };
        if stream.object.is_some() || stream.length != length {
            return Ok(false);
        }
        if let Some(size) = stream.size.filter(|size| *size != length) {
            let message = format!("the file {} has {length} of its {size} bytes", stream.name);
            return Err(Error::conflict(message).with_code("incomplete"));
        }
        let stream = self.stream_mut(id)?;
        stream.object = Some(object.to_owned());
        stream.sha256.get_or_insert_with(|| sha256.to_owned());
        self.remove_parts(id, ..);
        Ok(true)
    }

    /// The parts of a stream, in order.
    fn parts_of(&self, id: StreamId) -> impl Iterator<Item = &Part> {
        self.parts.range((id, 0)..=(id, u64::MAX)).map(|(_, part)| part)
    }

    /// Removes the parts that begin at these offsets.
    fn remove_parts(&mut self, id: StreamId, offsets: impl RangeBounds<u64>) {
        let gone = self.parts_of(id).map(|p| p.offset).filter(|at| offsets.contains(at));
        for offset in gone.collect::<Vec<_>>() {
            self.parts.remove(&(id, offset));
        }
    }

    /// The streams of an owner, by number.
    pub(super) fn streams_of(&self, owner: StreamOwner) -> impl Iterator<Item = &Stream> {
        self.streams.values().filter(move |s| s.owner == owner)
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
        self.streams.insert(id, stream.clone());
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

    fn existing(&self, id: StreamId) -> Result<&Stream> {
        self.streams.get(&id).ok_or_else(|| no_stream(id))
    }

    fn stream_mut(&mut self, id: StreamId) -> Result<&mut Stream> {
        self.streams.get_mut(&id).ok_or_else(|| no_stream(id))
    }

    /// The stream, if its owner may still write to it.
    fn writable(&self, id: StreamId) -> Result<&Stream> {
        let stream = self.existing(id)?;
        self.fence(stream.owner, stream.role)?;
        Ok(stream)
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

    /// Whether the upload was made, or the attempt ended, before `before`.
    fn is_over(&self, owner: StreamOwner, before: Timestamp) -> bool {
        let (job, attempt) = match owner {
            StreamOwner::Attempt { job, attempt } => (job, attempt),
            StreamOwner::Upload(id) => {
                return self.uploads.get(&id).is_some_and(|u| u.created_at < before);
            }
        };
        let attempts = self.jobs.get(&job).map(|row| row.attempts.as_slice()).unwrap_or_default();
        let mut attempts = attempts.iter().map(|a| &a.attempt).filter(|a| a.number == attempt);
        attempts.any(|a| a.ended_at.is_some_and(|at| at < before))
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

fn no_stream(id: StreamId) -> Error {
    Error::not_found(format!("there is no stream {id}"))
}

fn sealed(stream: &Stream) -> Error {
    Error::conflict(format!("{} is complete and does not change any more", stream.name))
        .with_code("sealed")
}
