//! Rows into streams, parts and uploads.

use pybit_core::model::{JobId, Part, Stream, StreamId, StreamOwner, StreamRole, Upload, UploadId};
use pybit_core::{Error, ErrorKind, Result};

use crate::sql::{Call, Cells, Dialect, statements as sql};

/// A role as its column has it.
pub(super) fn written(role: StreamRole) -> &'static str {
    match role {
        StreamRole::Log => "log",
        StreamRole::File => "file",
    }
}

pub(super) fn stream<D: Dialect>(c: &Cells<'_, D>) -> Result<Stream> {
    Ok(Stream {
        id: StreamId(c.int("id")?),
        owner: owner(c)?,
        role: c.word("role", &[StreamRole::Log, StreamRole::File], written)?,
        name: c.parsed("name")?,
        size: c.maybe_int("size")?,
        sha256: c.maybe_text("sha256")?,
        length: c.int("length")?,
        object: c.maybe_text("object")?,
    })
}

fn owner<D: Dialect>(c: &Cells<'_, D>) -> Result<StreamOwner> {
    match (c.maybe_int("job")?, c.maybe_int("attempt")?, c.maybe_int("upload")?) {
        (Some(job), Some(attempt), None) => Ok(StreamOwner::Attempt { job: JobId(job), attempt }),
        (None, None, Some(upload)) => Ok(StreamOwner::Upload(UploadId(upload))),
        _ => Err(Error::new(ErrorKind::Corrupt, "the database holds a stream of nobody")),
    }
}

pub(super) fn part<D: Dialect>(c: &Cells<'_, D>) -> Result<Part> {
    Ok(Part { offset: c.int("start_at")?, length: c.int("length")?, object: c.text("object")? })
}

pub(super) fn upload<D: Dialect>(c: &Cells<'_, D>) -> Result<Upload> {
    Ok(Upload {
        id: UploadId(c.int("id")?),
        principal: c.text("principal")?,
        created_at: c.at("created_at")?,
    })
}

/// Asks for the streams of an owner, by number.
pub(super) fn of<D: Dialect>(owner: StreamOwner) -> Call<D> {
    match owner {
        StreamOwner::Attempt { job, attempt } => {
            Call::<D>::new(&sql::STREAMS_OF_ATTEMPT).int(job.0).int(attempt)
        }
        StreamOwner::Upload(upload) => Call::<D>::new(&sql::STREAMS_OF_UPLOAD).int(upload.0),
    }
}

/// The stream, held against every other change until the transaction ends; `NotFound` where there is none.
pub(super) async fn held<D: Dialect>(
    connection: &mut D::Connection,
    id: StreamId,
) -> Result<Stream> {
    let found = Call::<D>::new(&sql::STREAM_LOCK).int(id.0).first(connection, stream).await?;
    found.ok_or_else(|| no_stream(id))
}

/// The stream; `NotFound` where there is none.
pub(super) async fn existing<D: Dialect>(
    connection: &mut D::Connection,
    id: StreamId,
) -> Result<Stream> {
    let found = Call::<D>::new(&sql::STREAM_BY_ID).int(id.0).first(connection, stream).await?;
    found.ok_or_else(|| no_stream(id))
}

fn no_stream(id: StreamId) -> Error {
    Error::not_found(format!("there is no stream {id}"))
}
