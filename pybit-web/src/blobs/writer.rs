//! Objects that are longer than what is held in memory.

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use pybit_core::Result;

use super::Blobs;

/// An object that is being written. Nothing of it is seen before [`Writer::finish`].
pub(crate) struct Writer {
    blobs: Blobs,
    object: String,
    held: Vec<u8>,
    /// There once the first piece was full: a short object is one request.
    upload: Option<Box<dyn MultipartUpload>>,
}

/// S3 wants pieces of at least 5 MiB and no more than 10,000 of them, some stores want all but the last equally long.
pub(super) const PIECE: usize = 8 << 20;

impl Writer {
    pub(super) fn new(blobs: Blobs, object: &str) -> Self {
        Self { blobs, object: object.to_owned(), held: Vec::new(), upload: None }
    }

    /// Appends.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PIECE - self.held.len()));
            self.held.extend_from_slice(now);
            rest = later;
            if self.held.len() == PIECE {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        let piece = PutPayload::from(std::mem::take(&mut self.held));
        let fail = |e| self.blobs.failure("store", &self.object, e);
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let name = Path::from(self.object.as_str());
                none.insert(self.blobs.store.put_multipart(&name).await.map_err(fail)?)
            }
        };
        upload.put_part(piece).await.map_err(fail)
    }

    /// Makes the object appear, durable.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let done = self.last().await;
        if done.is_err() {
            self.abandon().await;
        }
        done
    }

    async fn last(&mut self) -> Result<()> {
        if self.upload.is_some() && !self.held.is_empty() {
            self.send().await?;
        }
        let done = if let Some(upload) = &mut self.upload {
            upload.complete().await
        } else {
            let whole = PutPayload::from(std::mem::take(&mut self.held));
            self.blobs.store.put(&Path::from(self.object.as_str()), whole).await
        };
        done.map(drop).map_err(|e| self.blobs.failure("store", &self.object, e))
    }

    /// Forgets what was written.
    pub(crate) async fn abandon(mut self) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(object = self.object, %error, "an unfinished object stays behind");
        }
    }

    /// Bytes of memory that are held.
    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        self.held.capacity()
    }
}
