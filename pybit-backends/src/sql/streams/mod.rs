//! Which stored objects make up a log or a file.
//!
//! `declare` makes streams, `grow` appends to them, `whole` puts one object in the place of many; `fence` decides which
//! attempt may still write.

mod declare;
mod fence;
mod grow;
mod rows;
mod whole;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{
    Appended, FileSpec, NewPart, Part, Stream, StreamId, StreamOwner, Upload, UploadId,
};
use pybit_core::storage::StreamStore;

use super::call::signed;
use super::{Call, Dialect, SqlStore, statements as sql};

/// Uploads of more files are read again each time.
const MOST_KEPT: usize = 50;

#[async_trait]
impl<D: Dialect> StreamStore for SqlStore<D> {
    async fn new_upload(
        &self,
        principal: &str,
        files: &[FileSpec],
        at: Timestamp,
    ) -> Result<Upload> {
        self.again(|| declare::new_upload(self, principal, files, at)).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<Upload>> {
        if let Some(known) = self.uploads.get(id) {
            return Ok(Some(known));
        }
        let found = self
            .again(|| self.first(Call::<D>::new(&sql::UPLOAD_BY_ID).int(id.0), rows::upload))
            .await?;
        if let Some(found) = &found {
            self.uploads.keep(id, found.clone());
        }
        Ok(found)
    }

    async fn declare_files(
        &self,
        owner: StreamOwner,
        files: &[FileSpec],
        _: Timestamp,
    ) -> Result<Vec<Stream>> {
        let declared = self.again(|| declare::declare_files(self, owner, files)).await;
        if let StreamOwner::Upload(id) = owner {
            self.uploaded.forget(id);
        }
        declared
    }

    async fn streams(&self, owner: StreamOwner) -> Result<Vec<Stream>> {
        let upload = match owner {
            StreamOwner::Upload(id) => Some(id),
            StreamOwner::Attempt { .. } => None,
        };
        if let Some(known) = upload.and_then(|id| self.uploaded.get(id)) {
            return Ok(known);
        }
        let voided = self.uploaded.voided();
        let found = self.again(|| self.all(rows::of(owner), rows::stream)).await?;
        let is_whole =
            (1..=MOST_KEPT).contains(&found.len()) && found.iter().all(|s| s.object.is_some());
        if let Some(id) = upload.filter(|_| is_whole) {
            self.uploaded.keep_unless_voided(voided, id, found.clone());
        }
        Ok(found)
    }

    async fn stream(&self, id: StreamId) -> Result<Option<Stream>> {
        self.again(|| self.first(Call::<D>::new(&sql::STREAM_BY_ID).int(id.0), rows::stream)).await
    }

    async fn append_part(&self, stream: StreamId, part: &NewPart) -> Result<Appended> {
        self.again(|| grow::append(self, stream, part)).await
    }

    async fn parts(&self, stream: StreamId, offset: u64, limit: u32) -> Result<Vec<Part>> {
        let offset = signed(offset)?;
        let call = || Call::<D>::new(&sql::PARTS).int(stream.0).int(offset).int(limit);
        self.again(|| self.all(call(), rows::part)).await
    }

    async fn merge_parts(&self, stream: StreamId, into: &NewPart) -> Result<bool> {
        self.again(|| whole::merge(self, stream, into)).await
    }

    async fn seal(
        &self,
        stream: StreamId,
        length: u64,
        object: &str,
        sha256: &str,
    ) -> Result<bool> {
        self.again(|| whole::seal(self, stream, length, object, sha256)).await
    }

    async fn reset(&self, stream: StreamId) -> Result<()> {
        self.again(|| grow::reset(self, stream)).await
    }

    async fn unsealed_logs(&self, limit: u32) -> Result<Vec<Stream>> {
        self.again(|| self.all(Call::<D>::new(&sql::LOGS_TO_SEAL).int(limit), rows::stream)).await
    }

    async fn objects_of(&self, sha256: &str) -> Result<Vec<String>> {
        self.again(|| self.all(Call::new(&sql::OBJECTS_OF).text(sha256), |c| c.text("object")))
            .await
    }

    async fn give_up_unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<String>> {
        self.again(|| whole::give_up_unfinished(self, before, limit)).await
    }
}
