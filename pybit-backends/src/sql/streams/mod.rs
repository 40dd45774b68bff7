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
        self.again(|| async {
            let mut reader = self.reader().await?;
            Call::<D>::new(&sql::UPLOAD_BY_ID).int(id.0).first(&mut reader, rows::upload).await
        })
        .await
    }

    async fn declare_files(
        &self,
        owner: StreamOwner,
        files: &[FileSpec],
        _: Timestamp,
    ) -> Result<Vec<Stream>> {
        self.again(|| declare::declare_files(self, owner, files)).await
    }

    async fn streams(&self, owner: StreamOwner) -> Result<Vec<Stream>> {
        self.again(|| async {
            let mut reader = self.reader().await?;
            rows::of::<D>(&mut reader, owner).await
        })
        .await
    }

    async fn stream(&self, id: StreamId) -> Result<Option<Stream>> {
        self.again(|| async {
            let mut reader = self.reader().await?;
            Call::<D>::new(&sql::STREAM_BY_ID).int(id.0).first(&mut reader, rows::stream).await
        })
        .await
    }

    async fn append_part(&self, stream: StreamId, part: &NewPart) -> Result<Appended> {
        self.again(|| grow::append(self, stream, part)).await
    }

    async fn parts(&self, stream: StreamId, offset: u64, limit: u32) -> Result<Vec<Part>> {
        self.again(|| async {
            let mut reader = self.reader().await?;
            Call::<D>::new(&sql::PARTS)
                .int(stream.0)
                .int(signed(offset)?)
                .int(limit)
                .all(&mut reader, rows::part)
                .await
        })
        .await
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
        self.again(|| async {
            let mut reader = self.reader().await?;
            Call::<D>::new(&sql::LOGS_TO_SEAL).int(limit).all(&mut reader, rows::stream).await
        })
        .await
    }

    async fn objects_of(&self, sha256: &str) -> Result<Vec<String>> {
        self.again(|| async {
            let mut reader = self.reader().await?;
            let call = Call::<D>::new(&sql::OBJECTS_OF).text(sha256);
            call.all(&mut reader, |c| c.text("object")).await
        })
        .await
    }

    async fn give_up_unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<String>> {
        self.again(|| whole::give_up_unfinished(self, before, limit)).await
    }
}
