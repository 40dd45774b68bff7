//! Declared files become streams.

use pybit_core::clock::Timestamp;
use pybit_core::model::{FileSpec, Stream, StreamOwner, StreamRole, Upload};
use pybit_core::{Error, Result};

use super::{fence, rows};
use crate::sql::call::signed;
use crate::sql::{Call, Dialect, SqlStore, commit, statements as sql};

pub(super) async fn new_upload<D: Dialect>(
    store: &SqlStore<D>,
    principal: &str,
    files: &[FileSpec],
    at: Timestamp,
) -> Result<Upload> {
    let mut transaction = store.begin().await?;
    let upload = Call::<D>::new(&sql::UPLOAD_ADD)
        .text(principal)
        .at(at)
        .one(&mut transaction, rows::upload)
        .await?;
    declare::<D>(&mut transaction, StreamOwner::Upload(upload.id), files).await?;
    commit(transaction).await?;
    Ok(upload)
}

/// The streams of these files, in the order of the list.
pub(super) async fn declare_files<D: Dialect>(
    store: &SqlStore<D>,
    owner: StreamOwner,
    files: &[FileSpec],
) -> Result<Vec<Stream>> {
    let mut transaction = store.begin().await?;
    fence::hold_owner::<D>(&mut transaction, owner, StreamRole::File).await?;
    let streams = declare::<D>(&mut transaction, owner, files).await?;
    commit(transaction).await?;
    Ok(streams)
}

async fn declare<D: Dialect>(
    connection: &mut D::Connection,
    owner: StreamOwner,
    files: &[FileSpec],
) -> Result<Vec<Stream>> {
    let mut known = rows::of::<D>(owner).all(connection, rows::stream).await?;
    known.retain(|s| s.role == StreamRole::File);
    let mut declared = Vec::with_capacity(files.len());
    for file in files {
        let stream = match known.iter().find(|s| s.name == file.name) {
            Some(stream) => unchanged(stream, file)?,
            None => add::<D>(connection, owner, file).await?,
        };
        known.push(stream.clone());
        declared.push(stream);
    }
    Ok(declared)
}

fn unchanged(stream: &Stream, file: &FileSpec) -> Result<Stream> {
    if stream.size == Some(file.size) && stream.sha256.as_deref() == Some(&file.sha256) {
        return Ok(stream.clone());
    }
    let message = format!("the file {} was declared with another size or digest", file.name);
    Err(Error::conflict(message).with_code("manifest_changed"))
}

async fn add<D: Dialect>(
    connection: &mut D::Connection,
    owner: StreamOwner,
    file: &FileSpec,
) -> Result<Stream> {
    let (job, attempt, upload) = match owner {
        StreamOwner::Attempt { job, attempt } => (Some(job.0), Some(attempt), None),
        StreamOwner::Upload(upload) => (None, None, Some(upload.0)),
    };
    Call::<D>::new(&sql::STREAM_ADD)
        .maybe_int(job)
        .maybe_int(attempt)
        .maybe_int(upload)
        .text(rows::written(StreamRole::File))
        .text(file.name.as_str())
        .maybe_int(Some(signed(file.size)?))
        .maybe_text(Some(&file.sha256))
        .one(connection, rows::stream)
        .await
}
